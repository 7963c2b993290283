"""The interface of sources of a model's files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final, Literal, overload

from ..errors import ArgumentError, IntegrityError

#: Most bytes of a file that is no weights file, such as a tokenizer, and the suffixes that tell such files.
TEXT_LIMIT: Final = 64 << 20
_TEXTS: Final = frozenset({".json", ".jinja", ".txt", ".model", ".vocab", ".yaml", ".yml", ".bpe"})


def stays_inside(name: str) -> bool:
    """Return whether a relative name stays inside its folder, by the rules of POSIX and of Windows."""
    windows = PureWindowsPath(name)
    return not (windows.anchor or "\\" in name or "\0" in name or ".." in windows.parts)


class Source(ABC):
    """A source of a model's files.

    Attributes:
        location: Where it is, in the form that :func:`mf_core.hub.open_source` takes.
    """

    def __init__(self, location: str) -> None:
        self.location: Final = location

    def __repr__(self) -> str:
        return f"<Source {self.location}>"

    @overload
    def path(self, filename: str, *, required: Literal[True] = True) -> Path: ...
    @overload
    def path(self, filename: str, *, required: bool) -> Path | None: ...
    def path(self, filename: str, *, required: bool = True) -> Path | None:
        """Return the local path of a file, fetched if need be.

        Args:
            filename: Name inside the source, with ``/`` between folders.
            required: False to get None for a file that does not exist at the source.

        Raises:
            FileMissingError: The file, its repository or its revision does not exist, or cannot be fetched because
                ``HF_HUB_OFFLINE`` is set.
            DownloadError: The network, the server or the local disk failed, or access is refused.
            IntegrityError: The file is truncated, differs from its SHA-256, comes from a URL and has none, or is no
                weights file and larger than ``TEXT_LIMIT``.
            ArgumentError: ``filename`` leads out of the source.
        """
        name = str(PurePosixPath(filename))
        if name == "." or not stays_inside(filename):
            raise ArgumentError(
                f"{filename!r} is not the name of a file inside {self.location}",
                value=filename,
                why="a file's name is relative and has no '..' in it",
                hint="if a checkpoint's index file gave this name, do not trust that checkpoint",
            )
        path = self._find(name, required)
        if path is not None and path.suffix in _TEXTS and path.stat().st_size > TEXT_LIMIT:
            raise IntegrityError(
                f"'{filename}' from {self.location} has {path.stat().st_size:,} bytes", value=str(path),
                why=f"a configuration, vocabulary or template has at most {TEXT_LIMIT:,}",
            )  # fmt: skip
        return path

    def changed(self) -> bool:
        """Return whether a model has been saved over the files since the source was opened, as far as that shows."""
        return False

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder of the source, sorted; none where it is not known to have any."""
        return []

    @abstractmethod
    def _find(self, filename: str, required: bool) -> Path | None:
        """As ``path``, for a validated name."""
