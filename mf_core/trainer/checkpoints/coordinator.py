"""Writing a checkpoint by several processes: each writes its part into a folder, and the first combines them.

Ranks synchronise through marker files, not collective operations: a background thread writes while steps and their
collectives continue. So the folder has to be one that all processes see.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ...errors import CheckpointError, describe

#: Seconds between two checks for marker files, and seconds to wait for them in total.
_PAUSE, _PATIENCE = 0.02, 1800.0


class SaveCoordinator:
    """One process's part in the writing.

    Args:
        rank: This process's number.
        size: Number of processes.
        token: A number that the processes of this run share, for the names of staging folders.
        finish: Combines the parts in a folder into one checkpoint; the first process calls it.
    """

    def __init__(self, rank: int, size: int, token: int, finish: Callable[[Path], None]) -> None:
        self.rank, self.size, self.token, self.finish = rank, size, token, finish
        self.is_first = rank == 0

    def write_part(self, folder: Path, write: Callable[[Path], None]) -> None:
        """Write this process's part, and return when the first process has finished the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        try:
            write(folder)
        except BaseException as error:
            (folder / f".failed-{self.rank}").write_text(describe(error), encoding="utf-8")
            raise
        (folder / f".done-{self.rank}").touch()
        for _ in _checks(f"the first process, which finishes {folder.name}"):
            if not folder.exists():
                return

    def wait_for_others(self, folder: Path) -> None:
        """Return when every other process has written its part.

        Raises:
            CheckpointError: One failed, or did not finish in time.
        """
        for _ in _checks("the other processes"):
            failed = next(iter(folder.glob(".failed-*")), None)
            if failed is not None:
                raise CheckpointError(
                    f"process {failed.name.rpartition('-')[2]} could not write its part",
                    why=failed.read_text(encoding="utf-8"),
                )
            done = list(folder.glob(".done-*"))
            if len(done) == self.size - 1:
                for mark in done:
                    mark.unlink()
                return


def _checks(whom: str) -> Iterator[None]:
    """Yield repeatedly, with pauses; raise CheckpointError after the total time."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        yield
        time.sleep(_PAUSE)
    raise CheckpointError(f"{whom} did not finish within {_PATIENCE:.0f} s")
