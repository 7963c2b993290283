"""Settings of a run: checked when they are set, read from and written to files."""

import json

import numpy as np
import pytest

from mf_core import Trainer, TrainingArguments
from mf_core.errors import ArgumentError, IntegrityError

CONTRACT = [
    "output_dir", "use_parallel", "profile", "only_save_strategy", "sink_mode", "sink_size", "batch_size",
    "per_device_train_batch_size", "per_device_eval_batch_size", "learning_rate", "weight_decay", "adam_beta1",
    "adam_beta2", "adam_epsilon", "max_grad_norm", "num_train_epochs", "max_steps", "gradient_accumulation_steps",
    "lr_scheduler_type", "lr_end", "optim", "warmup_steps", "warmup_ratio", "save_strategy", "integrated_save",
    "save_steps", "save_seconds", "save_total_limit", "load_best_model_at_end", "metric_for_best_model",
    "early_stopping_patience", "seed", "data_seed", "resume_from_checkpoint", "auto_trans_ckpt", "resume_training",
    "do_eval", "eval_strategy", "eval_steps", "eval_step_interval", "eval_epoch_interval", "logging_steps",
    "logging_dir", "report_to", "dtype", "recompute", "dataloader_num_workers",
]  # fmt: skip


@pytest.mark.parametrize("name", CONTRACT)
def test_fields_of_the_contract_are_there_and_documented(name):
    getattr(TrainingArguments(), name)
    assert name in TrainingArguments.__doc__


def test_unknown_fields_and_bad_values():
    with pytest.raises(ArgumentError, match="no field 'learning_rat'") as caught:
        TrainingArguments(learning_rat=1)
    assert "learning_rate" in caught.value.hint
    args = TrainingArguments()
    with pytest.raises(ArgumentError, match="no field 'batch_siz'"):
        args.batch_siz = 3
    with pytest.raises(ArgumentError, match="learning_rate=-1"):
        args.learning_rate = -1
    assert args.learning_rate == 5e-5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": -1}, "learning_rate=-1"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"max_steps": 0}, "max_steps=0 would train nothing"),
        ({"batch_size": 0}, "per_device_train_batch_size=0"),
        ({"batch_size": 2, "per_device_train_batch_size": 4}, "batch_size.* are the same setting"),
        ({"optim": "lion"}, "optim='lion'.*adamw"),
        ({"lr_scheduler_type": "step"}, "lr_scheduler_type='step'"),
        ({"save_strategy": "seconds"}, "needs save_seconds"),
        ({"load_best_model_at_end": True}, "needs evaluations"),
        ({"early_stopping_patience": 2}, "needs evaluations"),
        ({"load_best_model_at_end": True, "do_eval": True, "save_strategy": "no"}, "needs checkpoints"),
        ({"report_to": "wandb"}, "report_to='wandb'"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_values_that_are_refused(changes, message):
    with pytest.raises(ArgumentError, match=message):
        TrainingArguments(**changes)


def test_other_names_and_forms():
    args = TrainingArguments(batch_size=3, optim="AdamWeightDecay", report_to=["tensorboard"], learning_rate="1e-4")
    assert (args.batch_size, args.per_device_train_batch_size) == (3, 3)
    assert (args.optim, args.report_to, args.learning_rate) == ("adamw", "tensorboard", 1e-4)
    args.batch_size = 5
    assert args.per_device_train_batch_size == 5
    assert TrainingArguments(report_to="none").report_to is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (None, None)),
        ({"do_eval": True}, (None, 1)),
        ({"do_eval": True, "eval_steps": 7}, (7, None)),
        ({"eval_strategy": "steps", "logging_steps": 4}, (4, None)),
        ({"eval_strategy": "steps", "eval_steps": 9}, (9, None)),
        ({"eval_strategy": "epoch"}, (None, 1)),
        ({"eval_step_interval": 5}, (5, None)),
        ({"eval_epoch_interval": 2}, (None, 2)),
    ],
)
def test_when_evaluations_are_due(changes, expected):
    assert TrainingArguments(**changes).eval_every == expected


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_files(tmp_path, suffix):
    args = TrainingArguments(learning_rate=3e-4, max_steps=7, lora_targets=("c_attn", "c_fc"), output_dir="x")
    path = tmp_path / f"args.{suffix}"
    if suffix == "yaml":
        args.to_yaml(path)
    else:
        path.write_text(json.dumps({"learning_rate": 3e-4, "max_steps": 7, "lora_targets": ["c_attn", "c_fc"],
                                    "output_dir": "x"}))  # fmt: skip
    assert TrainingArguments.from_file(path) == args
    path.write_text("learning_rat: 1" if suffix == "yaml" else '{"learning_rat": 1}')
    with pytest.raises(ArgumentError, match="learning_rat"):
        TrainingArguments.from_file(path)
    path.write_text("- 1" if suffix == "yaml" else "[1]")
    with pytest.raises(IntegrityError, match="not a mapping"):
        TrainingArguments.from_file(path)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("linear", [0, 0.5, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0, 0.5, 1, 0.853553, 0.5, 0.146447]),
        ("polynomial", [0, 0.5, 1, 0.775, 0.55, 0.325]),
        ("constant", [1, 1, 1, 1, 1, 1]),
        ("constant_with_warmup", [0, 0.5, 1, 1, 1, 1]),
    ],
)
def test_schedules(kind, expected):
    from mf_core.optim.schedules import schedule

    args = TrainingArguments(learning_rate=2.0, warmup_steps=2, lr_scheduler_type=kind, lr_end=0.2)
    rate = schedule(args, 6)
    np.testing.assert_allclose([rate(step) / 2 for step in range(6)], expected, atol=1e-6)


def test_files_of_arguments_and_of_mindformers_runs(tmp_path):
    (tmp_path / "args.yaml").write_text("output_dir: there\neval_strategy: no\nreport_to: no\n")
    args = TrainingArguments.from_file(tmp_path / "args.yaml")
    assert (args.output_dir, args.eval_strategy, args.report_to) == ("there", "no", None)
    assert Trainer(args=str(tmp_path / "args.yaml"), task="text_generation", model="gpt2_tiny").args == args
    trainer = Trainer(args={"batch_size": 3}, task="text_generation", model="gpt2_tiny")
    assert trainer.args.per_device_train_batch_size == 3
    (tmp_path / "run.yaml").write_text("run_mode: train\nseed: 0\n")
    with pytest.raises(ArgumentError, match="describes a run of MindFormers") as caught:
        Trainer(args=tmp_path / "run.yaml", task="text_generation", model="gpt2_tiny")
    assert "mf train --config" in caught.value.hint
