"""Repositories on the hub, through ``huggingface_hub``: its cache, and its environment variables (``HF_HOME``,
``HF_ENDPOINT``, ``HF_HUB_OFFLINE``, ``HF_TOKEN``, …) hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import ClassVar, Final

from ..errors import ArgumentError, FileMissingError, IntegrityError, MFError
from .cache import remove, verified_sha256
from .remote import Remote, cause_of, chain, status_of

_COMMIT: Final = re.compile(r"[0-9a-f]{40}\Z")
_REVISION: Final = re.compile(r"\w[\w.+/-]*\Z")


class Repository(Remote):
    """A repository at a revision."""

    PATTERN: ClassVar = re.compile(r"hub:(?P<repo>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>.+))?\Z")

    def __init__(self, location: str, revision: str | None, sha256: Mapping[str, str]) -> None:
        match = self.PATTERN.match(location)
        if match is None:
            raise ArgumentError(f"{location!r} is malformed", value=location, hint="'hub:owner/name[@revision]'")
        self._repo, pinned = match["repo"], match["revision"]
        if revision is not None and pinned is not None and revision != pinned:
            raise ArgumentError(
                f"revision={revision!r} was asked for, but {location!r} is pinned to another",
                value=revision,
                hint=f"leave the revision out, or name the repository itself: {self._repo!r}",
            )
        self._revision = revision or pinned
        if self._revision and (not _REVISION.match(self._revision) or ".." in self._revision):
            raise ArgumentError(f"{self._revision!r} is no branch, tag or commit", value=self._revision)
        #: The commit that the first file came from, and all others do: a branch may move between two of them.
        self._commit: str | None = None
        super().__init__(f"hub:{self._repo}" + (f"@{self._revision}" if self._revision else ""), sha256)
        self.access_hint = (
            f"check the name {self._repo!r}; if the repository is private or gated, accept its terms on its page and"
            " set HF_TOKEN to a token that may read it"
        )

    def _find(self, filename: str, required: bool) -> Path | None:
        from huggingface_hub import hf_hub_download

        if self._size_limit.applies_to(filename):
            self._size_limit.check(filename, self._size_of(filename))
        try:
            path = Path(hf_hub_download(self._repo, filename, revision=self._commit or self._revision))
        except Exception as error:  # of several libraries, and other ones from version to version
            if not self._is_absent(filename, error):
                raise self.failed(filename, error) from error
            if not required:
                return None
            raise FileMissingError(
                f"there is no file '{filename}' in {self.location}",
                value=filename,
                why=cause_of(error),
                hint="check the names of the file and of the repository, and whether this revision has it",
            ) from error
        self._commit = self._commit or _commit_of(path)
        expected = self._sha256.get(filename)
        if expected is not None and (actual := verified_sha256(path, expected)) != expected:
            from huggingface_hub.constants import HF_HUB_CACHE

            size = path.stat().st_size
            gone = remove(path, Path(HF_HUB_CACHE))
            raise self.differs(filename, actual, size=size, left=None if gone else path)
        return path

    def _size_of(self, filename: str) -> int | None:
        """Return how many bytes a download of the file has; None: it is in the cache, or the hub does not say."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache

        revision = self._commit or self._revision
        try:
            if try_to_load_from_cache(self._repo, filename, revision=revision) is not None:
                return None
            return get_hf_file_metadata(hf_hub_url(self._repo, filename, revision=revision)).size
        except Exception:  # of several libraries; the download, which meets the same fault, says what it is
            return None

    def names(self, folder: str) -> list[str]:
        """See the base class; offline, or where the hub does not list it, what the cache has of the folder."""
        from huggingface_hub import HfApi

        try:
            tree = HfApi().list_repo_tree(self._repo, path_in_repo=folder, revision=self._commit or self._revision)
            return sorted(PurePosixPath(entry.path).name for entry in tree)
        except Exception:  # of several libraries; a repository without the folder is one of the reasons
            snapshot = self._cached_snapshot()
            path = None if snapshot is None else snapshot / folder
            return sorted(entry.name for entry in path.iterdir()) if path is not None and path.is_dir() else []

    def _cached_snapshot(self) -> Path | None:
        """Return the cache's folder of the revision, whoever filled it."""
        from huggingface_hub.constants import HF_HUB_CACHE

        root = Path(HF_HUB_CACHE) / f"models--{self._repo.replace('/', '--')}"
        revision = self._commit or self._revision or "main"
        with suppress(OSError, UnicodeDecodeError):
            revision = (root / "refs" / revision).read_text(encoding="utf-8").strip()
        snapshot = root / "snapshots" / revision
        return snapshot if snapshot.is_dir() else None

    def _is_absent(self, filename: str, error: Exception) -> bool:
        """Return whether the repository, at this revision, is known not to have the file."""
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        if isinstance(error, (RepositoryNotFoundError, RevisionNotFoundError)):
            return False
        if _is_offline(error):  # the cache also remembers which files the hub did not have
            known = try_to_load_from_cache(self._repo, filename, revision=self._commit or self._revision)
            if known is not None:
                return not isinstance(known, str)
            # Other tools keep no notes of files that do not exist: a snapshot that has files is taken for whole.
            snapshot = self._cached_snapshot()
            return snapshot is not None and any(snapshot.iterdir())
        return status_of(error) == 404

    def failed(self, filename: str, error: BaseException) -> MFError:
        """Return the error for a download that ended in ``error``."""
        from huggingface_hub.constants import ENDPOINT
        from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

        name, why = f"'{filename}' from {self.location}", cause_of(error)
        if isinstance(error, HFValidationError):
            hint = "'hub:owner/name', as on the repository's page"
            return ArgumentError(f"{self.location} is malformed", value=self._repo, why=why, hint=hint)
        if isinstance(error, RevisionNotFoundError):
            what = f"{self.location} has no revision {self._revision or 'main'!r}, so no '{filename}'"
            return FileMissingError(what, value=self._revision, why=why, hint="check the branch, tag or commit")
        if isinstance(error, RepositoryNotFoundError) and status_of(error) == 404:
            what = f"there is no repository {self._repo!r} to take '{filename}' from ({self.location})"
            return FileMissingError(what, value=self._repo, why=why, hint=self.access_hint)
        if _is_offline(error):
            return FileMissingError(
                f"{name} is not in the local cache",
                value=filename,
                why="HF_HUB_OFFLINE is set, so nothing is downloaded",
                hint="unset HF_HUB_OFFLINE and run once with a network, or use a directory that holds the files",
            )
        # Content shorter than announced: a bare OSError, or, where the client tried to resume, status 416.
        if status_of(error) == 416 or (isinstance(error, OSError) and "Consistency check failed" in str(error)):
            return IntegrityError(
                f"{name} arrived truncated and was thrown away",
                value=filename,
                why=why,
                hint="run again; if it stays so, the server's copy is damaged or a proxy cuts it short",
            )
        general = super().failed(filename, error)
        if status_of(error) is None:
            general.why = f"{why} (asked {ENDPOINT})"
            general.hint = f"{general.hint}; HF_HUB_OFFLINE=1 makes do with what the local cache holds"
        return general


def _commit_of(path: Path) -> str | None:
    """Return the commit of a file in the hub's cache, ``…/snapshots/<commit>/…``."""
    parts = path.parts
    after = parts.index("snapshots") + 1 if "snapshots" in parts else len(parts)
    return parts[after] if after < len(parts) and _COMMIT.match(parts[after]) else None


def _is_offline(error: BaseException) -> bool:
    from huggingface_hub.errors import OfflineModeIsEnabled

    return any(isinstance(link, OfflineModeIsEnabled) for link in chain(error))
