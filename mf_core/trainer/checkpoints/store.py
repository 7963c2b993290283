"""The checkpoints of a run: written by a background thread, each replaced as a whole, old ones removed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...errors import CheckpointError, MFError, describe
from ...utils.commit import finish, recover, replace_folder, shared_staging
from ...utils.files import write_json
from .coordinator import SaveCoordinator
from .state_file import CHECKPOINT_NAME, STATE_FILE, run_of


def checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints in a directory, by step number; a save that was interrupted is finished first."""
    finish(directory)
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
        if coordinator is None or coordinator.is_first:
            recover(directory, exclusive=True)  # the run has the directory's lock
        self.own = [path.name for path in checkpoints(directory) if self._is_own(path)]
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._step = 0

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
            kept = None
            with suppress(MFError):
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
        coordinator, folder = self.coordinator, self.directory / name
        key = None if coordinator is None else f"{coordinator.token} {name}"
        old = self._select_old(name, protected)
        try:
            if coordinator is not None and not coordinator.is_first:
                assert key is not None
                coordinator.write_part(shared_staging(self.directory, key) / name, write)
                if not (folder / STATE_FILE).is_file():
                    raise CheckpointError(f"{name} was not finished", why="the first process could not write its part")
            else:
                self._check_name(folder)
                removed = [other for other in old if self._is_own(self.directory / other)]
                with replace_folder(folder, removed, key) as staging:
                    write(staging)
                    if coordinator is not None:
                        coordinator.wait_for_others(staging)
                        coordinator.finish(staging)
                    write_json(staging / STATE_FILE, state)
            self.own = [other for other in self.own if other not in old]
        except BaseException as error:
            self._error = error

    def _select_old(self, newest: str, protected: str | None) -> list[str]:
        """Return the run's checkpoints beyond the limit, the oldest first."""
        if self.limit is None:
            return []
        removable = sorted((n for n in self.own if n not in (newest, protected)), key=_step_of)
        kept = len(self.own) - len(removable)
        return removable[: max(0, len(removable) + kept - self.limit)]

    def _check_name(self, folder: Path) -> None:
        """Raise CheckpointError where something that is no checkpoint of a run has the name of the new one."""
        if os.path.lexists(folder) and (folder.is_symlink() or run_of(folder) is None):
            raise CheckpointError(
                f"{str(folder)!r} is not a checkpoint of a run, and is not replaced by one", value=str(folder),
                hint="rename it, or choose another output_dir",
            )  # fmt: skip

    def _is_own(self, path: Path) -> bool:
        """Whether a folder is provably a checkpoint that this run wrote into its output directory."""
        return (
            CHECKPOINT_NAME.match(path.name) is not None
            and not path.is_symlink()
            and path.resolve().parent == self.directory.resolve()
            and run_of(path) == self.run
        )


def _step_of(name: str) -> int:
    return int(name.rpartition("-")[2])
