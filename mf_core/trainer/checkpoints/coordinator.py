"""Writing a folder by several processes: each puts its part there, and the first makes one thing of them.

They speak by files and not by collective operations, since a thread writes while the steps, and what they say to each
other, go on. So the folder has to be one that all processes see.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ...errors import CheckpointError, describe

#: Seconds between two looks, and without news before the others are given up.
_PAUSE, _PATIENCE = 0.02, 1800.0


class SaveCoordinator:
    """One process's part in the writing.

    Args:
        rank: This process's number.
        size: Number of processes.
        token: A number that the processes of this run have in common, for the names of folders that are being written.
        finish: Makes one checkpoint of the parts in a folder; the first process calls it.
    """

    def __init__(self, rank: int, size: int, token: int, finish: Callable[[Path], None]) -> None:
        self.rank, self.size, self.token, self.finish = rank, size, token, finish
        self.is_first = rank == 0

    def write_part(self, folder: Path, write: Callable[[Path], None]) -> None:
        """Write this process's part, and return when the first process is done with the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        try:
            write(folder)
        except BaseException as error:
            (folder / f".failed-{self.rank}").write_text(describe(error), encoding="utf-8")
            raise
        (folder / f".done-{self.rank}").touch()
        for _ in _looks(f"the first process, which finishes {folder.name}"):
            if not folder.exists():
                return

    def wait_for_others(self, folder: Path) -> None:
        """Return when every other process has written its part.

        Raises:
            CheckpointError: One could not, or has not been heard of for long.
        """
        for _ in _looks("the other processes"):
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


def _looks(whom: str) -> Iterator[None]:
    """Yield again and again, with pauses; raise CheckpointError when that has gone on for too long."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        yield
        time.sleep(_PAUSE)
    raise CheckpointError(f"nothing has been heard of {whom} for {_PATIENCE:.0f} s")
