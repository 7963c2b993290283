"""Folders on a web server, through ``pooch``. A file counts only with its SHA-256."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from ..errors import FileMissingError, IntegrityError, MFError
from ..utils.console import is_terminal
from ..utils.locks import wait_for
from .cache import cache_dir, sha256_of, verified_sha256, write_note
from .remote import Remote, cause_of, status_of

#: Seconds to wait for a connection, and for the next bytes.
_TIMEOUT: Final = (10, 60)


class UrlFolder(Remote):
    """The folder ``https://host/folder``; its files are kept in ``cache_dir()/"files"``."""

    access_hint = "check that the address is public, or download the file yourself and use its directory"

    def _find(self, filename: str, required: bool) -> Path | None:
        expected = self._sha256.get(filename)
        if expected is None:
            if self._sha256 and not required:
                return None
            raise IntegrityError(
                f"'{filename}' from {self.location} has no SHA-256 to check it by",
                value=filename,
                why=f"every file of a plain URL must be listed; listed: {', '.join(self._sha256) or 'none'}",
                hint=f"add {filename!r} and its SHA-256 to the preset's sha256, or to open_source(…, sha256=…)",
            )
        folder = hashlib.sha256(self.location.encode()).hexdigest()[:16]
        path = cache_dir() / "files" / folder / filename
        try:
            if path.is_file() and verified_sha256(path, expected) == expected:
                return path
            with wait_for(cache_dir() / "locks" / f"{expected[:32]}.lock"):  # one process downloads, others wait for it
                if not path.is_file() or verified_sha256(path, expected) != expected:
                    self._fetch(filename, path)
        except MFError:
            raise
        except Exception as error:  # of requests, urllib3, pooch or the disk
            if status_of(error) not in (404, 410):
                raise self.failed(filename, error) from error
            if not required:
                return None
            what, hint = f"there is no file '{filename}' at {self.location}", "check the address"
            raise FileMissingError(what, value=filename, why=cause_of(error), hint=hint) from error
        return path

    def _fetch(self, filename: str, path: Path) -> None:
        """Download and check a file; what was at ``path`` before is replaced, or removed."""
        import pooch

        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
        def check(response: Any, *_: Any, **__: Any) -> None:
            length = response.headers.get("Content-Length", "")
            if response.status_code == 200:
                self._size_limit.check(filename, int(length) if length.isdecimal() else None)

        download = pooch.HTTPDownloader(
            progressbar=is_terminal(), chunk_size=1 << 20, timeout=_TIMEOUT, hooks={"response": check}
        )
        try:
            download(f"{self.location}/{quote(filename)}", str(part), None)
            actual = sha256_of(part)
            if actual != self._sha256[filename]:
                raise self.differs(filename, actual, size=part.stat().st_size)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        write_note(path, actual)
