"""The checkpoints of a run: written by a background thread, each replaced as a whole, old ones removed."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import CheckpointError, describe
from ...utils.files import sync, write_json
from .coordinator import SaveCoordinator
from .state_file import CHECKPOINT_NAME, STATE_FILE, run_of

_STAGING = re.compile(r"\.checkpoint-\d+\.(\d+)(\.\d+\.old)?\Z")


def checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints in a directory, by step number."""
    found = []
    for path in directory.glob("checkpoint-*"):
        match = CHECKPOINT_NAME.match(path.name)
        if match and (path / STATE_FILE).is_file():
            found.append((int(match[1]), path))
    return [path for _, path in sorted(found)]


def last_checkpoint(directory: Path) -> Path | None:
    """Return the checkpoint of the highest step; of the directory's run, where that is known; or None."""
    run = run_of(directory)
    return next((p for p in reversed(checkpoints(directory)) if run is None or run_of(p) == run), None)


class CheckpointStore:
    """Writes the checkpoints of one run.

    Args:
        directory: The run's output directory.
        limit: Keep so many of this run's checkpoints; None: all.
        run: Identifies the run. Checkpoints in ``directory`` with another identifier are never removed.
        coordinator: If several processes write each checkpoint together; None: this one writes alone.
    """

    def __init__(
        self, directory: Path, limit: int | None, run: str, coordinator: SaveCoordinator | None = None
    ) -> None:
        self.directory, self.limit, self.run, self.coordinator = directory, limit, run, coordinator
        self.own = [path.name for path in checkpoints(directory) if self._is_own(path)]
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._step = 0
        if coordinator is None or coordinator.is_first:
            _remove_leftovers(directory)

    def save(
        self, step: int, write: Callable[[Path], None], state: Mapping[str, Any], protected: str | None = None
    ) -> Path:
        """Write ``checkpoint-<step>`` in the background, after an earlier one is written.

        Args:
            step: Steps taken.
            write: Writes the tensors' files into a folder. It must use copies: training continues meanwhile.
            state: For the state file, which is written last.
            protected: Name of a checkpoint that is not to be removed: the best.

        Raises:
            CheckpointError: An earlier one failed.
        """
        self.wait()
        name = f"checkpoint-{step}"
        self.own = [*(n for n in self.own if n != name), name]
        content = {**state, "run": self.run, "own": list(self.own)}
        self._step = step
        self._thread = threading.Thread(target=self._write, args=(name, write, content, protected), name="mf-save")
        self._thread.start()
        return self.directory / name

    def wait(self) -> None:
        """Return when nothing is being written.

        Raises:
            CheckpointError: A checkpoint could not be written.
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
            remedy = "make room on the disk" if isinstance(error, OSError) else "see the reason"
            raise CheckpointError(
                f"the checkpoint of step {self._step} could not be written to {self.directory}", value=self._step,
                why=describe(error),
                hint=(f"{remedy}, then resume from {kept.name} with resume_training=True; it is whole" if kept
                      else f"{remedy}, or choose another output_dir"),
            ) from error  # fmt: skip

    def _write(
        self, name: str, write: Callable[[Path], None], state: Mapping[str, Any], protected: str | None
    ) -> None:
        coordinator = self.coordinator
        staging = self.directory / f".{name}.{os.getpid() if coordinator is None else coordinator.token}"
        try:
            if coordinator is not None and not coordinator.is_first:
                coordinator.write_part(staging, write)
                if not (self.directory / name / STATE_FILE).is_file():
                    raise CheckpointError(f"{name} was not finished", why="the first process could not write its part")
                self._select_old(name, protected)
                return
            staging.mkdir(parents=True, exist_ok=coordinator is not None)
            write(staging)
            if coordinator is not None:
                coordinator.wait_for_others(staging)
                coordinator.finish(staging)
            write_json(staging / STATE_FILE, state)
            sync(staging)
            with _moved_away(self.directory / name):
                staging.rename(self.directory / name)
            sync(self.directory)
            for old in self._select_old(name, protected):
                self._remove(old)
        except BaseException as error:
            self._error = error
        finally:
            if coordinator is None or coordinator.is_first:
                shutil.rmtree(staging, ignore_errors=True)

    def _select_old(self, newest: str, protected: str | None) -> list[str]:
        """Return the run's checkpoints beyond the limit, the oldest first, and forget them."""
        if self.limit is None:
            return []
        removable = sorted((n for n in self.own if n not in (newest, protected)), key=_step_of)
        kept = len(self.own) - len(removable)
        old = removable[: max(0, len(removable) + kept - self.limit)]
        self.own = [name for name in self.own if name not in old]
        return old

    def _is_own(self, path: Path) -> bool:
        """Whether a folder is provably a checkpoint that this run wrote into its output directory."""
        return (
            CHECKPOINT_NAME.match(path.name) is not None
            and not path.is_symlink()
            and path.resolve().parent == self.directory.resolve()
            and run_of(path) == self.run
        )

    def _remove(self, name: str) -> None:
        path = self.directory / name
        if self._is_own(path):
            with _moved_away(path):
                pass


def _step_of(name: str) -> int:
    return int(name.rpartition("-")[2])


@contextmanager
def _moved_away(path: Path) -> Iterator[None]:
    """Rename a folder, and delete it after the block, so that readers never see a part of it."""
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
    """Remove staging folders of processes that have ended."""
    for path in directory.glob(".checkpoint-*"):
        match = _STAGING.match(path.name)
        if match and not path.is_symlink() and (int(match[1]) == os.getpid() or not _alive(int(match[1]))):
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
