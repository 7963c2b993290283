"""Everything that can be set about a training run, with real defaults, checked when it is set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from ..boundary import public
from ..errors import ArgumentError
from ..optim.table import optimizer_names, optimizer_spec, schedule_names
from ..utils.files import read_config_file
from ..utils.paths import user_path
from ..utils.settings import Settings

Interval = Literal["no", "steps", "epoch"]
Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class TrainingArguments(Settings):
    """Settings of a training run.

    Attributes:
        output_dir: Where checkpoints, metrics and the trained model are written; no other folder is written to.
        overwrite_output_dir: Begin a new run in an ``output_dir`` that holds another run's model or checkpoints, which
            is an error otherwise. Files of the new run replace those of the same names.
        use_parallel: Train on several devices; the context must have been set up for them (``init_context``).
        profile: Write MindSpore's profile of the run into ``output_dir/profile``.

        per_device_train_batch_size: Rows of a batch on each device; also called ``batch_size``.
        per_device_eval_batch_size: Rows of a batch in evaluation.
        gradient_accumulation_steps: Batches that make one step. The gradient is the mean over all their targets.
        num_train_epochs: Passes over the data.
        max_steps: Number of steps, instead of epochs, when positive.
        max_seq_length: Longest row in tokens; None: the model's context.
        packing: How texts become rows: ``"join"`` (one after the other, cut anywhere), ``"apart"`` (whole documents,
            which do not see each other, positions counted from 0) or ``"none"`` (one document a row).
        on_bad_record: ``"error"``, or ``"skip"`` to leave bad records out and count them.
        dataloader_num_workers: Processes that tokenise, for tokenizers without threads.

        optim: ``adamw`` (also ``AdamWeightDecay``), ``adam``, ``sgd``, ``adagrad``, ``adafactor``, as torch and
            ``transformers`` define them; or one that :func:`mf_core.optim.register_optimizer` has added.
        learning_rate: Peak learning rate.
        weight_decay: Not on biases and norms. Decoupled in adamw and adafactor, added to the gradient in the others.
        adam_beta1, adam_beta2, adam_epsilon: Of adamw and adam.
        max_grad_norm: Gradients are scaled down to this global norm; 0 leaves them.
        lr_scheduler_type: Shape of the learning rate after warm-up: ``linear``, ``cosine``, ``cosine_with_restarts``,
            ``polynomial``, ``constant``, ``constant_with_warmup``; or one that
            :func:`mf_core.optim.register_schedule` has added.
        lr_end: Where a polynomial schedule ends.
        lr_num_cycles: Of ``cosine_with_restarts``.
        warmup_steps: Steps in which the rate rises from 0.
        warmup_ratio: That as a share of all steps; used when ``warmup_steps`` is 0.
        max_nan_steps: Steps in a row whose loss or gradient is not finite that are left out; one more ends the run.

        dtype: Type to compute in; None: the model's own. The weights that are trained are fp32 in any case. With
            ``"float16"`` the loss is scaled, and the scale moves as overflows come or stay away. With ``"bfloat16"`` a
            step on a CPU with AMX takes about half the time.
        initial_loss_scale: Where that scale begins.
        recompute: Recompute activations in the backward pass instead of storing them.
        seed: Of dropout, and of global generators that the dataset may draw from.
        data_seed: Of the order of the data; None: ``seed``.

        save_strategy: When to write checkpoints: ``"steps"`` (every ``save_steps``), ``"epoch"``, ``"seconds"``
            (every ``save_seconds``) or ``"no"``.
        save_steps, save_seconds: How often.
        save_total_limit: Keep this many checkpoints, the newest and the best; None: all.
        integrated_save: Write whole weights, not one file a device.
        only_save_strategy: Only write how the weights are split over devices, and do not train.
        resume_training: Resume from the last checkpoint in ``output_dir``, exactly as if the run had not stopped.
        resume_from_checkpoint: Resume from this one.
        auto_trans_ckpt: Take checkpoints that were written on another number of devices.

        do_eval: Evaluate while training: after each epoch, unless ``eval_strategy`` or an interval says otherwise.
        eval_strategy: ``"no"``, ``"steps"`` (every ``eval_steps``) or ``"epoch"``.
        eval_steps: Steps between evaluations; None: ``logging_steps``.
        eval_step_interval, eval_epoch_interval: MindFormers' names: evaluate every so many steps or epochs; -1: not.
        metric_for_best_model: What makes an evaluation the best: ``"loss"``, or another that evaluation returns.
        greater_is_better: Whether more of it is better; None: unless its name ends in ``loss`` or ``perplexity``.
        load_best_model_at_end: End with the weights of the best evaluation.
        early_stopping_patience: Stop after so many evaluations in a row that were not the best so far.

        logging_steps: Steps between log lines. Losses are brought to the host then, and at no other step.
        logging_dir: Where event files go; None: ``output_dir/logs``.
        report_to: ``"tensorboard"``, or None. ``metrics.jsonl`` in ``output_dir`` is written in any case.
        sink_mode, sink_size: Accepted; where the device cannot sink data, a warning says that it is off.

        lora_rank, lora_alpha, lora_dropout, lora_targets: Of ``Trainer(pet_method="lora")``; see
            :class:`mf_core.LoraConfig`.

    Raises:
        ArgumentError: A field is unknown or out of range.
    """

    aliases: ClassVar[Mapping[str, str]] = {"batch_size": "per_device_train_batch_size"}

    output_dir: str = "./output"
    overwrite_output_dir: bool = False
    use_parallel: bool = False
    profile: bool = False

    per_device_train_batch_size: Positive = 8
    per_device_eval_batch_size: Positive = 8
    gradient_accumulation_steps: Positive = 1
    num_train_epochs: Annotated[float, Field(gt=0)] = 3.0
    max_steps: Annotated[int, Field(ge=-1)] = -1
    max_seq_length: Positive | None = None
    packing: Literal["join", "apart", "none"] = "join"
    on_bad_record: Literal["error", "skip"] = "error"
    dataloader_num_workers: NotNegative = 0

    optim: str = "adamw"
    learning_rate: Annotated[float, Field(ge=0)] = 5e-5
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    adam_beta1: Fraction = 0.9
    adam_beta2: Fraction = 0.999
    adam_epsilon: Annotated[float, Field(gt=0)] = 1e-8
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    lr_scheduler_type: str = "linear"
    lr_end: Annotated[float, Field(ge=0)] = 0.0
    lr_num_cycles: Positive = 1
    warmup_steps: NotNegative = 0
    warmup_ratio: Fraction = 0.0
    max_nan_steps: NotNegative = 0

    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    initial_loss_scale: Annotated[float, Field(ge=1)] = 65536.0
    recompute: bool = False
    seed: Seed = 42
    data_seed: Seed | None = None

    save_strategy: Literal["no", "steps", "epoch", "seconds"] = "steps"
    save_steps: Positive = 500
    save_seconds: Positive | None = None
    save_total_limit: Positive | None = None
    integrated_save: bool = True
    only_save_strategy: bool = False
    resume_training: bool = False
    resume_from_checkpoint: str | None = None
    auto_trans_ckpt: bool = False

    do_eval: bool = False
    eval_strategy: Interval = "no"
    eval_steps: Positive | None = None
    eval_step_interval: int = -1
    eval_epoch_interval: int = -1
    metric_for_best_model: str = "loss"
    greater_is_better: bool | None = None
    load_best_model_at_end: bool = False
    early_stopping_patience: Positive | None = None

    logging_steps: Positive = 10
    logging_dir: str | None = None
    report_to: Literal["tensorboard"] | None = None
    sink_mode: bool = False
    sink_size: int = 1

    lora_rank: Positive = 8
    lora_alpha: Annotated[float, Field(gt=0)] = 16.0
    lora_dropout: Fraction = 0.0
    lora_targets: tuple[str, ...] | None = None

    @field_validator("optim")
    @classmethod
    def _optimizer_name(cls, name: str) -> str:
        try:
            return optimizer_spec(name).name
        except ArgumentError:
            raise ValueError(f"it is one of: {', '.join(optimizer_names())}") from None

    @field_validator("lr_scheduler_type")
    @classmethod
    def _schedule_name(cls, name: str) -> str:
        if name not in schedule_names():
            raise ValueError(f"it is one of: {', '.join(schedule_names())}")
        return name

    @classmethod
    @public
    def from_file(cls, path: str | Path) -> TrainingArguments:
        """Read a ``.yaml`` or ``.json`` file of these fields.

        Raises:
            FileNotFoundError, IntegrityError: It is not there, or no mapping.
            ArgumentError: A field is unknown or out of range, or the file is a run of MindFormers.
        """
        data = read_config_file(user_path(path))
        foreign = [name for name in ("run_mode", "runner_config", "trainer") if name in data]
        if foreign:
            raise ArgumentError(
                f"{path} describes a run of MindFormers, not TrainingArguments: it has {', '.join(foreign)}",
                value=str(path), hint=f"`mf train --config {path}` reads it",
            )  # fmt: skip
        return cls(**data)

    @field_validator("eval_strategy", "save_strategy", mode="before")
    @classmethod
    def _off(cls, given: Any) -> Any:
        return "no" if given is False else given  # what readers of YAML 1.1 make of the word

    @field_validator("report_to", mode="before")
    @classmethod
    def _one_report(cls, given: Any) -> Any:
        names = [given] if isinstance(given, (str, bool)) else given
        if isinstance(names, (list, tuple)):  # transformers' forms
            names = [name for name in names if name not in ("none", "no", False)]
            return names[0] if len(names) == 1 else (None if not names else given)
        return given

    @model_validator(mode="after")
    def _together(self) -> TrainingArguments:
        if self.max_steps == 0:
            raise ValueError("max_steps=0 would train nothing; -1 leaves the number of steps to num_train_epochs")
        if self.save_strategy == "seconds" and self.save_seconds is None:
            raise ValueError("save_strategy='seconds' needs save_seconds")
        for name in ("load_best_model_at_end", "early_stopping_patience"):
            if getattr(self, name) and self.eval_every == (None, None):
                raise ValueError(f"{name} needs evaluations: set eval_strategy, or do_eval=True")
        if self.load_best_model_at_end and self.save_strategy == "no":
            raise ValueError("load_best_model_at_end needs checkpoints: set save_strategy")
        return self

    @property
    def eval_every(self) -> tuple[int | None, int | None]:
        """Steps and epochs between evaluations; None: not by these."""
        steps = self.eval_step_interval if self.eval_step_interval > 0 else None
        epochs = self.eval_epoch_interval if self.eval_epoch_interval > 0 else None
        if self.eval_strategy == "steps":
            steps = self.eval_steps or steps or self.logging_steps
        elif self.eval_strategy == "epoch":
            epochs = epochs or 1
        elif self.do_eval and steps is None and epochs is None:
            steps, epochs = (self.eval_steps, None) if self.eval_steps else (None, 1)
        return steps, epochs

    @property
    def more_is_better(self) -> bool:
        """Whether a greater ``metric_for_best_model`` is better."""
        if self.greater_is_better is not None:
            return self.greater_is_better
        return not self.metric_for_best_model.endswith(("loss", "perplexity"))
