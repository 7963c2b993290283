"""A GGUF file as a source of a model's files: those of a directory are written into the cache from its header."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ...errors import FileMissingError
from ...hub.cache import cache_dir
from ...hub.source import Source
from ...utils.files import CONFIG_FILE, write_json
from .config import config_of
from .header import GGUFHeader, read_header
from .tokenizer import tokenizer_files

#: Changed whenever what is made of a header is.
_FORM = "2"


class GGUFSource(Source):
    """The files of a GGUF file's model.

    Args:
        location: As the user wrote it.
        path: The file.
    """

    def __init__(self, location: str, path: Path) -> None:
        super().__init__(location)
        self.file = path

    @functools.cached_property
    def header(self) -> GGUFHeader:
        """The file's header."""
        return read_header(self.file)

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        """The contents of ``config.json``."""
        return config_of(self.header)

    def _find(self, filename: str, required: bool) -> Path | None:
        path = self._folder / filename
        if path.is_file():
            return path
        if not required:
            return None
        raise FileMissingError(f"the GGUF file {self.location} has nothing for {filename!r}", value=filename)

    @functools.cached_property
    def _folder(self) -> Path:
        """The folder of the cache with what the header says; created if missing."""
        status = self.file.stat()
        facts = [_FORM, os.path.realpath(self.file), status.st_size, status.st_mtime_ns]
        key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]
        folder = cache_dir() / "gguf" / key
        if not (folder / CONFIG_FILE).is_file():
            folder.mkdir(parents=True, exist_ok=True)
            for name, contents in tokenizer_files(self.header).items():
                write_json(folder / name, contents)
            write_json(folder / CONFIG_FILE, self.config)  # last: with it, the folder is whole
        return folder
