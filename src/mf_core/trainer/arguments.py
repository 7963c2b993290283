"""Everything that can be set about a training run, with real defaults, checked when it is set."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import ArgumentError, UnsupportedError, did_you_mean

Scheduler = Literal["linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"]
Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

#: Fields that this version takes at their default only, so that a script which sets one is told.
_NOT_YET = (
    "use_parallel", "profile", "only_save_strategy", "gradient_accumulation_steps", "optim", "save_strategy",
    "integrated_save", "save_steps", "save_seconds", "save_total_limit", "load_best_model_at_end",
    "metric_for_best_model", "early_stopping_patience", "resume_from_checkpoint", "auto_trans_ckpt", "resume_training",
    "do_eval", "eval_strategy", "eval_steps", "eval_step_interval", "eval_epoch_interval", "logging_dir", "report_to",
    "dtype", "recompute",
)  # fmt: skip


class TrainingArguments(BaseModel):
    """Settings of a training run.

    Attributes:
        output_dir: Where the trained model is saved; the only place that is written to.
        batch_size: Rows of a batch; another name of ``per_device_train_batch_size``.
        per_device_train_batch_size: Rows of a batch on each device.
        learning_rate: Peak learning rate.
        weight_decay: Decoupled weight decay; not on biases and norms.
        adam_beta1, adam_beta2, adam_epsilon: AdamW's own (Loshchilov and Hutter, 2019).
        max_grad_norm: Gradients are scaled down to this global norm; 0 leaves them.
        num_train_epochs: Passes over the data.
        max_steps: Number of steps, in place of epochs, when positive.
        lr_scheduler_type: Shape of the learning rate after warm-up.
        lr_end: Where a polynomial schedule ends.
        lr_num_cycles: Of ``cosine_with_restarts``.
        warmup_steps: Steps in which the rate rises from 0.
        warmup_ratio: That as a share of all steps; used when ``warmup_steps`` is 0.
        logging_steps: Steps between progress lines.
        seed: Of dropout; :meth:`Trainer.train` seeds MindSpore's generators with it.
        data_seed: Of the order of the data; None: ``seed``.
        sink_mode: Accepted; where the device cannot sink data, a warning says that it is off.
        sink_size: Accepted together with ``sink_mode``.
        dataloader_num_workers: Accepted; batches are made in the main process.

    The other fields of the interface are known, and refused when set to anything but their default: this version's
    trainer does not have what they stand for.

    Raises:
        ArgumentError: A field is unknown or out of range.
        UnsupportedError: A field asks for what this version has not.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    output_dir: str = "./output"
    use_parallel: bool = False
    profile: bool = False
    only_save_strategy: bool = False
    sink_mode: bool = False
    sink_size: int = 1
    batch_size: Positive = 8
    per_device_train_batch_size: Positive = 8
    per_device_eval_batch_size: Positive = 8
    learning_rate: Annotated[float, Field(ge=0)] = 5e-5
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    adam_beta1: Fraction = 0.9
    adam_beta2: Fraction = 0.999
    adam_epsilon: Annotated[float, Field(gt=0)] = 1e-8
    max_grad_norm: Annotated[float, Field(ge=0)] = 1.0
    num_train_epochs: Annotated[float, Field(gt=0)] = 3.0
    max_steps: int = -1
    gradient_accumulation_steps: Positive = 1
    lr_scheduler_type: Scheduler = "linear"
    lr_end: Annotated[float, Field(ge=0)] = 0.0
    lr_num_cycles: Positive = 1
    optim: Literal["adamw", "adam", "sgd", "adagrad", "adafactor", "AdamWeightDecay"] = "adamw"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    warmup_ratio: Fraction = 0.0
    save_strategy: Literal["no", "steps", "epoch", "seconds"] = "no"
    integrated_save: bool = True
    save_steps: Positive = 500
    save_seconds: Positive | None = None
    save_total_limit: Positive | None = None
    load_best_model_at_end: bool = False
    metric_for_best_model: str | None = None
    early_stopping_patience: Positive | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42
    data_seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    resume_from_checkpoint: str | None = None
    auto_trans_ckpt: bool = False
    resume_training: bool = False
    do_eval: bool = False
    eval_strategy: Literal["no", "steps", "epoch"] = "no"
    eval_steps: Positive | None = None
    eval_step_interval: int = -1
    eval_epoch_interval: int = -1
    logging_steps: Positive = 10
    logging_dir: str | None = None
    report_to: str | None = None
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    recompute: bool = False
    dataloader_num_workers: Annotated[int, Field(ge=0)] = 0

    def __init__(self, **fields: Any) -> None:
        """Build from keywords."""
        for name in fields:
            if name not in type(self).model_fields:
                raise ArgumentError(
                    f"TrainingArguments has no field {name!r}", value=name,
                    hint=did_you_mean(name, type(self).model_fields) or "its docstring lists them",
                )
        try:
            super().__init__(**fields)
        except ValidationError as error:
            first = error.errors()[0]
            place, value = ".".join(map(str, first["loc"])), first.get("input")
            message = first["msg"].removeprefix("Value error, ")
            raise ArgumentError(
                f"TrainingArguments: {place}={value!r}: {message}" if place else f"TrainingArguments: {message}",
                value=value if place else None,
            ) from error
        for name in _NOT_YET:
            default = type(self).model_fields[name].default
            if getattr(self, name) not in (default, *(("AdamWeightDecay",) if name == "optim" else ())):
                raise UnsupportedError(
                    f"TrainingArguments: {name}={getattr(self, name)!r} is not in this version",
                    value=getattr(self, name), hint=f"leave it at {default!r}",
                )

    @model_validator(mode="before")
    @classmethod
    def _one_batch_size(cls, data: Any) -> Any:
        names = ("batch_size", "per_device_train_batch_size")
        given = {data[name] for name in names if name in data}
        if len(given) > 1:
            raise ValueError(f"{names[0]}={data[names[0]]} and {names[1]}={data[names[1]]} are the same setting")
        return {**data, **dict.fromkeys(names, given.pop())} if given else data
