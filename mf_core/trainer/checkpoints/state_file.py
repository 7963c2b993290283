"""The state file of a run and of its checkpoints: its schema, and reading it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ...errors import CheckpointError, IntegrityError
from ..rng import RandomState, state_from_json
from ..state import TrainerState, Window

#: In a checkpoint and, for the run as a whole, in its output directory.
STATE_FILE = "trainer_state.json"
#: Name of a checkpoint's folder.
CHECKPOINT_NAME = re.compile(r"checkpoint-(0|[1-9]\d{0,14})\Z")
#: Most bytes of a state file: some 100,000 log lines.
_SIZE_LIMIT = 64 << 20

Count = Annotated[int, Field(ge=0, le=10**15)]
Seconds = Annotated[float, Field(ge=0)]
Unlimited = Annotated[float, Field(ge=0, allow_inf_nan=True)]
F = TypeVar("F", bound="RunFile")


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class WindowFields(_Strict):
    """Sums since the last log line."""

    loss: float = 0.0
    targets: Seconds = 0.0
    seconds: Seconds = 0.0
    positions: Count = 0


class DataFields(_Strict):
    """What identifies the data of a run and how it is batched; None where it is unknown, as for streams."""

    batches_per_epoch: Annotated[int, Field(ge=1, le=10**15)] | None
    batch_size: Annotated[int, Field(ge=1, le=10**9)] | None
    gradient_accumulation_steps: Annotated[int, Field(ge=1, le=10**9)]
    data_seed: Annotated[int, Field(ge=0, lt=2**32)]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{16,128}$")] | None


class RunFile(_Strict):
    """The state of a run, in its output directory.

    Attributes:
        run: Identifies the run: checkpoints with another identifier were written by another run.
        finished: Whether the model beside the file is the run's result.
    """

    run: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    finished: bool = False
    global_step: Count
    max_steps: Count
    epoch: Seconds
    num_train_epochs: Unlimited
    epoch_number: Count
    batches_taken: Count
    tokens: Count
    seconds: Seconds
    skipped_steps: Count
    nan_steps: Count
    best_metric: Annotated[float, Field(allow_inf_nan=True)] | None
    best_model_checkpoint: str | None
    evaluations_since_best: Count
    log_history: list[dict[str, Any]]
    window: WindowFields

    @field_validator("best_metric")
    @classmethod
    def _is_a_number(cls, value: float | None) -> float | None:
        if value is not None and math.isnan(value):
            raise ValueError("the best metric is not a number")
        return value

    @field_validator("best_model_checkpoint")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is not None and not CHECKPOINT_NAME.match(name):
            raise ValueError("not the name of a checkpoint, checkpoint-<step>")
        return name

    @field_validator("log_history")
    @classmethod
    def _are_log_lines(cls, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        before = 0
        for number, line in enumerate(lines):
            step = line.get("step")
            if not isinstance(step, int) or isinstance(step, bool) or step < before:
                raise ValueError(f"line {number} has the step {step!r}, after step {before}")
            bad = [name for name, value in line.items() if name != "step" and not _is_plain(value)]
            if bad:
                raise ValueError(f"line {number}: {bad[0]!r} is not a number")
            before = step
        return lines

    @model_validator(mode="after")
    def _is_consistent(self) -> RunFile:
        last = self.log_history[-1]["step"] if self.log_history else 0
        best = int(self.best_model_checkpoint.rpartition("-")[2]) if self.best_model_checkpoint else 0
        for what, value, limit_name, limit in (
            ("global_step", self.global_step, "max_steps", self.max_steps),
            ("epoch_number", self.epoch_number, "global_step", self.global_step),
            ("skipped_steps", self.skipped_steps, "global_step", self.global_step),
            ("nan_steps", self.nan_steps, "skipped_steps", self.skipped_steps),
            ("the last log line's step", last, "global_step", self.global_step),
            ("the best checkpoint's step", best, "global_step", self.global_step),
        ):
            if value > limit:
                raise ValueError(f"{what}={value} is more than {limit_name}={limit}")
        return self

    def state(self) -> TrainerState:
        """Return the state that the file holds."""
        names = [name for name in RunFile.model_fields if name not in ("run", "finished", "window")]
        return TrainerState(window=Window(**self.window.model_dump()), **{name: getattr(self, name) for name in names})


class CheckpointFile(RunFile):
    """The state of a run in one of its checkpoints.

    Attributes:
        own: Names of the checkpoints that the run had then.
        data: What identifies the data.
        random_state: Python's and numpy's generators after the last step; None before the first.
    """

    own: list[str]
    data: DataFields
    random_state: Any

    @field_validator("own")
    @classmethod
    def _are_names(cls, names: list[str]) -> list[str]:
        for name in names:
            if not CHECKPOINT_NAME.match(name):
                raise ValueError(f"{name[:80]!r} is not the name of a checkpoint, checkpoint-<step>")
        return names

    @field_validator("random_state")
    @classmethod
    def _is_a_random_state(cls, data: Any) -> Any:
        if data is not None:
            _check_random_state(data)
        return data

    @model_validator(mode="after")
    def _matches_the_data(self) -> CheckpointFile:
        per_epoch, each = self.data.batches_per_epoch, self.data.gradient_accumulation_steps
        if self.batches_taken > self.global_step * each:
            raise ValueError(f"batches_taken={self.batches_taken} is more than {self.global_step} steps take")
        if per_epoch is not None:
            steps = self.epoch_number * -(-per_epoch // each) + -(-self.batches_taken // each)
            if self.batches_taken > per_epoch:
                raise ValueError(f"batches_taken={self.batches_taken} is more than batches_per_epoch={per_epoch}")
            if self.global_step > steps:
                raise ValueError(f"global_step={self.global_step} is more than the {steps} steps of the passes so far")
            if self.epoch > self.epoch_number + self.batches_taken / per_epoch + 1e-6:
                raise ValueError(f"epoch={self.epoch} is beyond epoch_number={self.epoch_number}")
        if self.random_state is None and self.global_step > 0:
            raise ValueError("random_state is missing")
        return self

    def random(self) -> RandomState | None:
        """Return the states of the random generators."""
        return state_from_json(self.random_state)


def read_run(directory: Path) -> RunFile:
    """Return the state file in a run's output directory.

    Raises:
        CheckpointError: There is none.
        IntegrityError: It is damaged.
    """
    return _read(directory, RunFile)


def read_checkpoint(path: Path) -> CheckpointFile:
    """Return a checkpoint's state file.

    Raises:
        CheckpointError: There is none.
        IntegrityError: It is damaged, or of another step than the folder's name says.
    """
    state, match = _read(path, CheckpointFile), CHECKPOINT_NAME.match(path.name)
    if match and int(match[1]) != state.global_step:
        raise IntegrityError(f"{path / STATE_FILE} is of step {state.global_step}", value=state.global_step)
    return state


def run_of(folder: Path) -> str | None:
    """Return the identifier of the run that a checkpoint or an output directory is of; None if it is not known."""
    try:
        data = _load(folder / STATE_FILE)
    except (OSError, ValueError, RecursionError):
        return None
    run = data.get("run") if isinstance(data, dict) else None
    return run if isinstance(run, str) and re.match(r"[0-9a-f]{32}\Z", run) else None


def _load(file: Path) -> Any:
    if file.stat().st_size > _SIZE_LIMIT:
        raise ValueError(f"it has {file.stat().st_size:,} bytes; at most {_SIZE_LIMIT:,} are read")
    return json.loads(file.read_text(encoding="utf-8"))


def _read(folder: Path, model: type[F]) -> F:
    file = folder / STATE_FILE
    if not file.is_file():
        raise CheckpointError(
            f"{folder} is not a checkpoint of a run", value=str(folder), why=f"it has no {STATE_FILE}",
            hint="to begin with its weights only, use train_checkpoint or finetune_checkpoint",
        )  # fmt: skip
    try:
        data = _load(file)
        if not isinstance(data, dict):
            raise ValueError(f"it holds a {type(data).__name__}")
        return model(**data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][:4])
        reason = first["msg"].removeprefix("Value error, ")
        given = "" if first["type"] == "missing" or not field else f"={str(first.get('input'))[:80]!r}"
        raise IntegrityError(
            f"{file} is damaged", value=str(file), why=f"{field}{given}: {reason}" if field else reason,
            hint="resume from another checkpoint of the run, or begin a new one with train_checkpoint",
        ) from error  # fmt: skip
    except (OSError, ValueError, RecursionError, TypeError) as error:
        raise IntegrityError(f"{file} cannot be read", value=str(file), why=str(error)[:200]) from error


def _is_plain(value: Any) -> bool:
    """Whether a value is what log lines hold: numbers, text, None, and lists and mappings of them."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, (int, float, str, bool))


def _check_random_state(data: Any) -> None:
    """Raise ValueError unless ``data`` is what :func:`mf_core.trainer.rng.state_to_json` returns."""

    def words(values: Any, count: int) -> bool:
        return isinstance(values, list) and len(values) == count and all(
            isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 2**32 for v in values
        )  # fmt: skip

    def is_number(value: Any) -> bool:
        return isinstance(value, float) and math.isfinite(value)

    try:
        (version, numbers, gauss), (kind, keys, position, has_gauss, cached) = data
    except (TypeError, ValueError):
        raise ValueError("not the states of two random generators") from None
    if version != 3 or not words(numbers, 625) or not 0 < numbers[-1] <= 624 or not (gauss is None or is_number(gauss)):
        raise ValueError("not a state of Python's random generator")
    numpys = kind == "MT19937" and words(keys, 624) and words([position, has_gauss], 2) and is_number(cached)
    if not numpys or position > 624 or has_gauss > 1:
        raise ValueError("not a state of numpy's random generator")
