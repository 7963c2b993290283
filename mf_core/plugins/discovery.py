"""Which plugins are installed: a record for each, from its distribution's metadata alone; nothing is imported."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

import importlib_metadata

from .. import hookspecs
from ..errors import MFError, PluginError, describe, printable
from ..specs import BackendSpec, ConfigSpec, ModelSpec, ProcessorSpec, TaskSpec, TokenizerSpec

State = Literal["loaded", "failed", "stale", "blocked", "not allowed", "incompatible"]
Spec = ConfigSpec | ModelSpec | TokenizerSpec | ProcessorSpec | TaskSpec | BackendSpec

#: Milliseconds in which an entry module should be imported and its hooks answer; more is reported, and no fault.
BUDGET_MS: Final = 100

_GROUP = re.compile(r"mf_core\.v\d+\Z")


@dataclass
class PluginRecord:
    """One plugin and its state.

    Attributes:
        name: Entry-point name.
        module: The module that the entry point names.
        distribution: Owner: the distribution's normalized name.
        version: The distribution's version.
        location: Folder that holds the distribution's metadata, or the source tree of an editable install.
        group: Entry-point group; its suffix is the plugin API's major version. ``builtin``: the core's own.
        state: ``loaded``; ``failed`` (import, hook or spec); ``stale`` (an editable install whose source is gone);
            ``blocked`` (MF_PLUGINS_BLOCK); ``not allowed`` (MF_PLUGINS); ``incompatible`` (another API version).
        load_ms: Milliseconds that import and hooks took.
        error: What was raised, if anything.
        traceback: ``error`` in full.
        where: The line of the plugin's own code that the error came from, ``"file:line in function: source"``.
        core_wanted: Which releases of the core its distribution asks for, ``"mf-framework<0.2,>=0.1"``; where it is for
            another interface than ours alone.
        meddling: What it did to the process while it was loaded, in words; it has been put back.
        specs: What the plugin offers; empty unless loaded.
        installer: What installed the distribution, such as ``pip`` (the file ``INSTALLER``); empty where it is not
            recorded.
        direct_url: Where it was installed from, if not from an index (the file ``direct_url.json``, PEP 610): a folder,
            an archive, or a repository with its commit.
        is_editable: Whether its code is read from the source tree.
        pin: Why MF_PLUGINS does not allow this version, where it names another.
    """

    name: str
    module: str
    distribution: str
    version: str
    location: str
    group: str
    state: State = "loaded"
    load_ms: float = 0.0
    error: BaseException | None = None
    traceback: str = ""
    where: str = ""
    meddling: tuple[str, ...] = ()
    core_wanted: str = ""
    specs: tuple[Spec, ...] = field(default=(), repr=False)
    installer: str = ""
    direct_url: str = ""
    is_editable: bool = False
    pin: str = ""

    @property
    def reason(self) -> str:
        """One line that says why the plugin is not loaded; empty when it is."""
        if self.state == "blocked":
            return "blocked by MF_PLUGINS_BLOCK"
        if self.state == "not allowed":
            return self.pin or "not on the MF_PLUGINS list"
        return "" if self.error is None else describe(self.error)

    @property
    def installed(self) -> str:
        """By what, and from where if not from an index, in a few words."""
        if self.group == "builtin":
            return "with the core"
        kind, _, rest = self.direct_url.partition(":")
        origin = "editable" if self.is_editable else "folder or archive" if kind == "file" else "URL" if rest else ""
        return ", ".join(filter(None, [self.installer or "unknown", origin]))

    @property
    def remark(self) -> str:
        """One line for listings: why the plugin is not loaded, or what is odd about how it was."""
        slow = f"slow: a plugin should take {BUDGET_MS} ms" if self.load_ms > BUDGET_MS else ""
        return "; ".join(filter(None, [self.reason, *self.meddling, slow]))

    @property
    def hint(self) -> str:
        """What the user can do about a plugin that failed."""
        own = self.error.hint if isinstance(self.error, MFError) else None
        if own:
            return printable(own)
        return f"`mf plugins --verbose` shows its traceback; MF_PLUGINS_BLOCK={self.name} does without it"

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain data, for ``--json``."""
        keys = (
            "name", "module", "distribution", "version", "location", "group", "state", "installer", "direct_url",
            "is_editable",
        )  # fmt: skip
        return {
            **{key: getattr(self, key) for key in keys},
            "load_ms": round(self.load_ms, 2),
            "reason": self.reason,
            "where": self.where,
            "meddling": list(self.meddling),
            "traceback": self.traceback,
            "specs": len(self.specs),
        }


def normalize(distribution: str) -> str:
    """Return a distribution's name as package indexes compare it: lower case, runs of ``-_.`` as one ``-``."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def discover() -> list[PluginRecord]:
    """Return a record for each entry point of a plugin interface, whatever the state of the other distributions."""
    offering: dict[str, Any] = {}
    records = []
    for dist in installed():
        with suppress(OSError, ValueError):  # not readable or not text: somebody else's trouble
            if "mf_core.v" in (dist.read_text("entry_points.txt") or ""):
                try:
                    offering.setdefault(normalize(identity(dist)[0]), dist)
                except (OSError, ValueError) as error:
                    records.append(_unreadable(_folder_name(dist), "unknown", dist, "METADATA", error))
    for name, found in offering.items():
        for dist in (*installed(name), found):
            with suppress(OSError, ValueError):
                declared, version = identity(dist)
                if declared:
                    records.extend(_records_of(name, version, dist))
                    break  # the first on the path counts, where it is installed twice
    return sorted(records, key=lambda r: (r.distribution, r.name, r.group))


def installed(name: str | None = None) -> Iterable[Any]:
    """Return the distributions (of that name) along ``sys.path``; what does not exist there would be tried as a zip."""
    path = [entry or "." for entry in sys.path if os.path.exists(entry or ".")]  # "" would be listed every time
    return importlib_metadata.distributions(name=name, path=path)


def _records_of(name: str, version: str, dist: Any) -> list[PluginRecord]:
    """Return a distribution's records. Where it offers this interface, what it offers for others is left out."""
    name, version = printable(name, 100), printable(version, 50)
    try:
        entry_points = [entry for entry in dist.entry_points if _GROUP.match(entry.group)]
    except Exception as error:
        return [_unreadable(name, version, dist, "entry_points.txt", error)]
    ours = [entry for entry in entry_points if entry.group == hookspecs.ENTRY_POINT_GROUP]
    location, core = _location(dist), "" if ours else _core_wanted(dist)
    url, editable = direct_url(dist)
    return [
        PluginRecord(
            printable(entry.name, 100), printable(entry.value.strip()), name, version, location, entry.group,
            core_wanted=core, installer=_installer(dist), direct_url=printable(url, 300), is_editable=editable,
        )
        for entry in ours or entry_points
    ]  # fmt: skip


def _core_wanted(dist: Any) -> str:
    text = dist.read_text("METADATA") or dist.read_text("PKG-INFO") or ""
    match = re.search(r"^Requires-Dist: mf[-_.]framework\s*\(?([^;)\n]+)", text, re.MULTILINE | re.IGNORECASE)
    return printable(f"mf-framework{match[1].strip()}", 100) if match else ""


def _unreadable(name: str, version: str, dist: Any, file: str, error: Exception) -> PluginRecord:
    fault = PluginError(f"the {file} of {name} cannot be read", why=describe(error), hint=f"reinstall {name}")
    return PluginRecord(name, "", name, version, _location(dist), hookspecs.ENTRY_POINT_GROUP, error=fault)


def _location(dist: Any) -> str:
    return editable_source(dist) or str(dist.locate_file(""))


def _folder_name(dist: Any) -> str:
    """Return the name in that of the folder with a distribution's metadata, which is all there is of some."""
    folder = Path(str(getattr(dist, "_path", "unknown"))).name
    return printable(normalize(folder.partition("-")[0]), 100)


def identity(dist: Any) -> tuple[str, str]:
    """Return a distribution's name, empty where it has no metadata, and version, without parsing all of it."""
    fields: dict[str, str] = {}
    for line in (dist.read_text("METADATA") or dist.read_text("PKG-INFO") or "").splitlines():
        key, colon, value = line.partition(":")
        if not colon:
            break
        fields.setdefault(key.strip().lower(), value.strip())
    return fields.get("name", ""), fields.get("version", "unknown")


def _installer(dist: Any) -> str:
    """Return what installed a distribution, by the file ``INSTALLER``."""
    try:
        return printable((dist.read_text("INSTALLER") or "").strip(), 50)
    except (OSError, ValueError):
        return ""


def direct_url(dist: Any) -> tuple[str, bool]:
    """Return where a distribution was installed from, if not from an index (PEP 610), and whether it is editable.

    A repository has its commit: ``"git+https://host/owner/name@0123abc"``. User names and passwords are left out.
    """
    try:
        data = json.loads(dist.read_text("direct_url.json") or "null")
        if data is None:
            return "", False
        parts = urlsplit(data["url"])
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        vcs = data.get("vcs_info")
        if vcs:
            url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
        return url, bool(data.get("dir_info", {}).get("editable"))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return "", False


def editable_source(dist: Any) -> str | None:
    """Return the source folder of an editable install (PEP 610), or None."""
    url, editable = direct_url(dist)
    return unquote(urlsplit(url).path) if editable and url.startswith("file://") else None
