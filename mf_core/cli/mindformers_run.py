"""Run files of MindFormers (``run_gpt2.yaml``) in the terms of ``mf train``.

Settings that have a counterpart are translated; those that are set and have none are returned by name, for a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import ArgumentError, MFError, UnsupportedError, did_you_mean
from ..plugins.registry import registry

#: Setting of a run file -> field of TrainingArguments.
_FIELDS = {
    "seed": "seed",
    "output_dir": "output_dir",
    "use_parallel": "use_parallel",
    "profile": "profile",
    "auto_trans_ckpt": "auto_trans_ckpt",
    "only_save_strategy": "only_save_strategy",
    "resume_training": "resume_training",
    "do_eval": "do_eval",
    "eval_step_interval": "eval_step_interval",
    "eval_epoch_interval": "eval_epoch_interval",
    "runner_config.epochs": "num_train_epochs",
    "runner_config.batch_size": "per_device_train_batch_size",
    "runner_config.gradient_accumulation_steps": "gradient_accumulation_steps",
    "runner_config.sink_mode": "sink_mode",
    "runner_config.sink_size": "sink_size",
    "runner_wrapper.max_grad_norm": "max_grad_norm",
    "runner_wrapper.scale_sense.loss_scale_value": "initial_loss_scale",
    "recompute_config.recompute": "recompute",
    "eval_dataset.batch_size": "per_device_eval_batch_size",
    "lr_schedule.learning_rate": "learning_rate",
    "lr_schedule.lr_end": "lr_end",
    "lr_schedule.warmup_steps": "warmup_steps",
    "lr_schedule.warmup_ratio": "warmup_ratio",
    "lr_schedule.num_cycles": "lr_num_cycles",
    "optimizer.learning_rate": "learning_rate",
    "optimizer.beta1": "adam_beta1",
    "optimizer.beta2": "adam_beta2",
    "optimizer.eps": "adam_epsilon",
    "optimizer.weight_decay": "weight_decay",
}
#: Of the callbacks: class, its argument -> field of TrainingArguments.
_CALLBACKS = {
    ("MFLossMonitor", "per_print_times"): "logging_steps",
    ("CheckpointMointor", "save_checkpoint_steps"): "save_steps",
    ("CheckpointMointor", "save_checkpoint_seconds"): "save_seconds",
    ("CheckpointMointor", "keep_checkpoint_max"): "save_total_limit",
    ("CheckpointMointor", "integrated_save"): "integrated_save",
}
_PET = {"lora_rank": "lora_rank", "lora_alpha": "lora_alpha", "lora_dropout": "lora_dropout"}
_SCHEDULES = {
    "polynomial": "polynomial", "PolynomialWithWarmUpLR": "polynomial", "WarmUpDecayLR": "polynomial",
    "linear": "linear", "LinearWithWarmUpLR": "linear", "cosine": "cosine", "CosineWithWarmUpLR": "cosine",
    "CosineWithRestartsAndWarmUpLR": "cosine_with_restarts", "ConstantWarmUpLR": "constant_with_warmup",
}  # fmt: skip
_OPTIMIZERS = {
    "AdamWeightDecay": "adamw", "FP32StateAdamWeightDecay": "adamw", "FusedAdamWeightDecay": "adamw", "AdamW": "adamw",
    "Adam": "adam", "SGD": "sgd", "Adagrad": "adagrad", "AdaFactor": "adafactor",
}  # fmt: skip
_TASKS = {
    "CausalLanguageModelingTrainer": "text_generation", "MaskedLanguageModelingTrainer": "masked_language_modeling",
    "TextClassificationTrainer": "text_classification", "TokenClassificationTrainer": "token_classification",
    "QuestionAnsweringTrainer": "question_answering", "TranslationTrainer": "translation",
    "ImageClassificationTrainer": "image_classification", "GeneralTaskTrainer": "general",
}  # fmt: skip
#: Classes that stand for what this project does in any case, and settings that repeat others.
_SAME = {
    "train_dataset_task", "eval_dataset_task", "model.arch.type", "runner_wrapper.type",
    "runner_wrapper.scale_sense.type", "train_dataset.batch_size",
    "train_dataset.data_loader.shuffle", "train_dataset.drop_remainder", "lr_schedule.type",
    "lr_schedule.total_steps", "optimizer.type", "trainer.type", "trainer.model_name", "run_mode", "load_checkpoint",
    "runner_wrapper.use_clip_grad", "recompute_config.mp_comm_recompute", "remote_save_url",
}
#: Values by which a setting says what is done here in any case.
_AS_HERE = {
    "context.mode": (0,), "context.device_id": (0,), "processor.return_tensors": ("ms",),
    "metric.type": ("PerplexityMetric",), "train_dataset.repeat": (1,), "eval_dataset.repeat": (1,),
    "train_dataset.data_loader.type": ("MindDataset", "TFRecordDataset"),
    "eval_dataset.data_loader.type": ("MindDataset", "TFRecordDataset"),
}  # fmt: skip


def is_mindformers_run(run: Mapping[str, Any]) -> bool:
    """Return whether a run file is MindFormers'."""
    model = run.get("model")
    return "run_mode" in run or "runner_config" in run or (isinstance(model, Mapping) and "model_config" in model)


def translate(run: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a run file's settings as ``mf train`` takes them, and the names of those that have no counterpart.

    Raises:
        ArgumentError: Its ``run_mode`` is not training, or a part of it has the wrong form.
        NotInstalledError, NotRegisteredError: No plugin has the configuration class that it names.
        UnsupportedError: It names an optimizer, schedule or trainer that there is none of here.
    """
    return _Translation(run).result()


class _Translation:
    def __init__(self, run: Mapping[str, Any]) -> None:
        self.leaves = dict(_leaves(run))
        self.used = set(_SAME)
        self.made: dict[str, Any] = {}

    def result(self) -> tuple[dict[str, Any], list[str]]:
        mode = self.take("run_mode") or "train"
        if mode not in ("train", "finetune"):
            raise ArgumentError(
                f"run_mode is {mode!r}; `mf train` takes 'train' and 'finetune'", value=mode,
                hint="`mf generate --model NAME PROMPT` for 'predict'; Trainer.evaluate() for 'eval'",
            )  # fmt: skip
        for name, field in _FIELDS.items():
            value = self.take(name)
            if value is not None:
                self.made[field] = value
        self.model(str(mode))
        self.data()
        self.step()
        self.callbacks()
        self.parallelism()
        if self.leaves.get("moe_config.expert_num", 1) == 1:
            self.used |= {name for name in self.leaves if name.startswith("moe_config.")}
        if self.leaves.get("train_dataset.data_loader.shuffle") is False:
            self.leaves["train_dataset.data_loader.shuffle (off)"] = True
        return self.made, [name for name, value in self.leaves.items() if self.is_left_out(name, value)]

    def is_left_out(self, name: str, value: Any) -> bool:
        """Return whether a setting has an effect that was not applied."""
        used = name in self.used or name.partition(".")[0] in self.used
        off = value is None or value is False or value in ("", [], {})
        return not (used or off or value in _AS_HERE.get(name, ()))

    def take(self, name: str) -> Any:
        """Return a setting's value, None where it is not there or empty, and note that it was used."""
        self.used.add(name)
        value = self.leaves.get(name)
        return None if value == "" else value

    def choice(self, name: str, known: Mapping[str, str], what: str) -> str | None:
        value = self.take(name)
        if value is None:
            return None
        if value not in known:
            raise UnsupportedError(
                f"the run file names the {what} {value!r}, of which there is none here", value=value,
                hint=did_you_mean(str(value), known) or f"known are: {', '.join(known)}",
            )  # fmt: skip
        return known[value]

    def model(self, mode: str) -> None:
        start = "model.model_config."
        kind = self.take(f"{start}type")
        if kind is None:
            raise ArgumentError("the run file has no model.model_config.type", hint="such as GPT2Config")
        entry = registry.find("export", str(kind))
        config_class = registry.find("config", entry.model_type, entry.owner).load()
        fields: dict[str, Any] = {}
        for name in [name for name in self.leaves if name.startswith(start)]:
            field = config_class.field_of(name.removeprefix(start))
            if field is not None:
                fields[field] = self.take(name)
        default = config_class.model_fields.get("compute_dtype")
        if default is not None and fields.get("compute_dtype") == default.default:
            del fields["compute_dtype"]  # left to the device's backend, as it is for a preset
        named = fields.pop("checkpoint_name_or_path", None)
        checkpoint = self.take("load_checkpoint") or (named if mode == "finetune" else None)
        if checkpoint:
            fields["checkpoint_name_or_path"] = checkpoint
        present = {name: value for name, value in fields.items() if value is not None}
        self.made["model"] = {"model_type": entry.model_type, **present}
        self.made["task"] = self.choice("trainer.type", _TASKS, "trainer") or "text_generation"
        self.tokenizer(self.take("trainer.model_name") or named)
        if self.take(f"{start}pet_config.pet_type"):
            self.made["pet_method"] = str(self.leaves[f"{start}pet_config.pet_type"])
            for name, setting in _PET.items():
                value = self.take(f"{start}pet_config.{name}")
                if value is not None:
                    self.made[setting] = value

    def tokenizer(self, name: Any) -> None:
        """Name the checkpoint whose tokenizer is saved beside the model, where there is one."""
        from ..auto import AutoTokenizer

        if isinstance(name, str) and registry.has("preset", name):
            try:
                AutoTokenizer.from_pretrained(name)
            except MFError:
                self.leaves["trainer.model_name (its tokenizer)"] = name
            else:
                self.made["model_name"] = name

    def data(self) -> None:
        for name in ("train_dataset", "eval_dataset"):
            folder = self.take(f"{name}.data_loader.dataset_dir") or self.take(f"{name}.data_loader.dataset_files")
            if folder is not None:
                self.made[name] = folder

    def step(self) -> None:
        schedule = self.choice("lr_schedule.type", _SCHEDULES, "schedule")
        optimizer = self.choice("optimizer.type", _OPTIMIZERS, "optimizer")
        self.made.update({k: v for k, v in (("lr_scheduler_type", schedule), ("optim", optimizer)) if v is not None})
        total = self.take("lr_schedule.total_steps")
        if isinstance(total, int) and total > 0:
            self.made["max_steps"] = total
        if self.take("runner_wrapper.use_clip_grad") is False:
            self.made["max_grad_norm"] = 0.0
        betas = self.take("optimizer.betas")
        if isinstance(betas, (list, tuple)) and len(betas) == 2:
            self.made["adam_beta1"], self.made["adam_beta2"] = betas

    def callbacks(self) -> None:
        for kind, given in _callbacks(self.leaves.get("callbacks")):
            for name, value in given.items():
                field = _CALLBACKS.get((kind, name))
                if field is not None:
                    self.made[field] = value
                elif value not in (None, False, ""):
                    self.leaves[f"callback {kind}.{name}"] = value
            if kind not in {known for known, _ in _CALLBACKS}:
                self.leaves[f"callback {kind}"] = True
        if "save_seconds" in self.made:
            self.made["save_strategy"] = "seconds"
        self.used.add("callbacks")

    def parallelism(self) -> None:
        from ..parallel.config import ParallelConfig

        start = "parallel_config."
        mine = {name.removeprefix(start): self.leaves[name] for name in self.leaves if name.startswith(start)}
        mine["micro_batch_interleave_num"] = self.take("micro_batch_interleave_num")
        if not self.made.get("use_parallel"):  # MindFormers ignores them, too
            self.used |= {"parallel_config", "parallel"}
            return
        fields = ParallelConfig.model_fields
        known = {name: value for name, value in mine.items() if name in fields and value is not None}
        self.used |= {start + name for name in known}
        self.made["parallel"] = known


def _leaves(data: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the items of nested mappings by dotted names; lists are values."""
    for name, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{start}{name}.")
        else:
            yield f"{start}{name}", value


def _callbacks(given: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in given if isinstance(given, list) else ():
        if isinstance(item, Mapping) and isinstance(item.get("type"), str):
            yield item["type"], {str(name): value for name, value in item.items() if name != "type"}
