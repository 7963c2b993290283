"""Checkpoints of a run: written aside by a thread, then renamed, so that each is whole or not there."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ...checkpoint.consolidate import whole_tensors
from ...checkpoint.sharded import OPTIMIZER_FILE, Index
from ...checkpoint.tensor_shards import piece_of
from ...errors import CheckpointError, IntegrityError, describe
from ...parallel import Layout
from ...utils.files import write_json
from .coordinator import SaveCoordinator

STATE_FILE = "trainer_state.json"

_NAME = re.compile(r"checkpoint-(\d+)\Z")
_ASIDE = re.compile(r"\.checkpoint-\d+\.(\d+)\Z")


def checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints in a directory, the one that was written last at the end."""
    found = []
    for path in directory.glob("checkpoint-*"):
        match = _NAME.match(path.name)
        if match and (path / STATE_FILE).is_file():
            found.append(((path / STATE_FILE).stat().st_mtime_ns, int(match[1]), path))
    return [path for _, _, path in sorted(found)]


def last_checkpoint(directory: Path) -> Path | None:
    """Return the checkpoint that was written last, or None."""
    return next(reversed(checkpoints(directory)), None)


def read_state(path: Path) -> dict[str, Any]:
    """Return what a checkpoint's state file holds.

    Raises:
        CheckpointError: There is none.
        IntegrityError: It cannot be read.
    """
    file = path / STATE_FILE
    if not file.is_file():
        raise CheckpointError(
            f"{path} is not a checkpoint of a run", value=str(path), why=f"it has no {STATE_FILE}",
            hint="to begin with its weights only, use train_checkpoint or finetune_checkpoint",
        )  # fmt: skip
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(state, dict):
            raise ValueError(f"it holds a {type(state).__name__}")
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{file} cannot be read", value=str(file), why=str(error)) from error
    return state


class CheckpointStore:
    """Writes the checkpoints of one run.

    Args:
        directory: The run's output directory.
        limit: Keep so many of this run's checkpoints; None: all.
        own: Names of the checkpoints that the run, when it goes on, has written before.
        together: Where several processes write each checkpoint together; None: this one writes alone.
    """

    def __init__(
        self, directory: Path, limit: int | None, own: list[str] | None = None, together: SaveCoordinator | None = None
    ) -> None:
        self.directory, self.limit, self.together = directory, limit, together
        self.own = [name for name in own or () if (directory / name).is_dir()]
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._step = 0
        if together is None or together.is_first:
            _remove_leftovers(directory)

    def save(
        self, step: int, write: Callable[[Path], None], state: Mapping[str, Any], protected: str | None = None
    ) -> Path:
        """Write ``checkpoint-<step>`` in the background; an earlier one is waited for.

        Args:
            step: Steps taken.
            write: Puts the tensors' files into a folder. It must hold copies: training goes on meanwhile.
            state: For the state file, which is written last.
            protected: Name of a checkpoint that is not to be removed: the best.

        Raises:
            CheckpointError: An earlier one failed.
        """
        self.wait()
        name = f"checkpoint-{step}"
        self.own = [*(n for n in self.own if n != name), name]
        content = {**state, "own": list(self.own)}
        self._step = step
        self._thread = threading.Thread(target=self._write, args=(name, write, content, protected), name="mf-save")
        self._thread.start()
        return self.directory / name

    def wait(self) -> None:
        """Return when nothing is being written any more.

        Raises:
            CheckpointError: It could not be written.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def check(self) -> None:
        """Raise CheckpointError if one could not be written; do not wait."""
        if self._error is not None:
            error, self._error = self._error, None
            kept = last_checkpoint(self.directory)
            raise CheckpointError(
                f"the checkpoint of step {self._step} could not be written to {self.directory}", value=self._step,
                why=describe(error),
                hint=(f"make room, then go on from {kept.name} with resume_training=True; it is whole" if kept
                      else "make room, or choose another output_dir"),
            ) from error  # fmt: skip

    def _write(
        self, name: str, write: Callable[[Path], None], state: Mapping[str, Any], protected: str | None
    ) -> None:
        together = self.together
        aside = self.directory / f".{name}.{os.getpid() if together is None else together.token}"
        try:
            if together is not None and not together.is_first:
                together.write_part(aside, write)
                if not (self.directory / name / STATE_FILE).is_file():
                    raise CheckpointError(f"{name} was not finished", why="the first process could not write its part")
                self._forget_old(name, protected)
                return
            aside.mkdir(parents=True, exist_ok=together is not None)
            write(aside)
            if together is not None:
                together.wait_for_others(aside)
                together.finish(aside)
            write_json(aside / STATE_FILE, state)
            _sync(aside)
            with _moved_away(self.directory / name):
                aside.rename(self.directory / name)
            _sync(self.directory)
            for old in self._forget_old(name, protected):
                with _moved_away(self.directory / old):
                    pass
        except BaseException as error:
            self._error = error
        finally:
            if together is None or together.is_first:
                shutil.rmtree(aside, ignore_errors=True)

    def _forget_old(self, newest: str, protected: str | None) -> list[str]:
        """Return which of the run's checkpoints are too many, the oldest; they are its own no more."""
        if self.limit is None:
            return []
        removable = [name for name in self.own if name not in (newest, protected)]
        kept = len(self.own) - len(removable)
        old = removable[: max(0, len(removable) + kept - self.limit)]
        self.own = [name for name in self.own if name not in old]
        return old


def host_copy(parameters: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return copies, in the host's memory, of parameters by name."""
    return {name: np.array(parameter.asnumpy(), copy=True) for name, parameter in parameters.items()}


def load_tensors(
    folder: Path, parameters: Mapping[str, Any], index: Index | None = None, layout: Layout | None = None
) -> None:
    """Put a checkpoint's optimizer states, in either form, into the parameters of the same names, in place.

    Args:
        folder: The checkpoint.
        parameters: This process's, by name.
        index: Where the states of all processes are; None: this one has all.
        layout: This process's place among them.

    Raises:
        CheckpointError: A name or shape differs.
        FileMissingError, IntegrityError: A file is broken, or not there.
    """
    from mindspore import Tensor, ops

    tensors = {tensor.name: tensor for tensor in whole_tensors(folder, "optimizer")}
    where = folder / OPTIMIZER_FILE
    for name in sorted(set(tensors) ^ set(parameters if index is None else index.optimizer)):
        has, needs = ("has", "has not") if name in tensors else ("lacks", "needs")
        raise CheckpointError(
            f"{where} {has} {name!r}, which this run {needs}", value=name,
            hint="go on with the model, optim, dtype and pet_method that the run began with",
        )  # fmt: skip
    for name, parameter in parameters.items():
        array, shape = tensors[name].read(), tuple(parameter.shape)
        if index is not None and layout is not None:
            entry = index.optimizer[name]
            if array.shape == entry.shape:
                array = piece_of(array, entry, layout)
        if array.shape != shape:
            raise CheckpointError(f"{name!r} in {where} is {array.shape}; this run's is {shape}", value=name)
        ops.assign(parameter, Tensor(np.require(array, requirements=["C", "A"])))


def _sync(folder: Path) -> None:
    """Make the names in a folder lasting."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _moved_away(path: Path) -> Iterator[None]:
    """Take a folder out of sight at once, and delete it after the block: nobody meets half of it."""
    away = path.parent / f".{path.name}.{os.getpid()}.{time.monotonic_ns()}.old"
    if path.exists():
        path.rename(away)
    try:
        yield
    except BaseException:
        if away.exists():
            away.rename(path)
        raise
    shutil.rmtree(away, ignore_errors=True)


def _remove_leftovers(directory: Path) -> None:
    """Remove what processes that are no more left half written or half deleted."""
    for path in directory.glob(".checkpoint-*"):
        match = _ASIDE.match(path.name) or re.match(r"\.checkpoint-\d+\.(\d+)\.\d+\.old\Z", path.name)
        if match and (int(match[1]) == os.getpid() or not _alive(int(match[1]))):
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
