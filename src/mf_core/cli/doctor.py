"""``mf doctor``: looks for what is wrong with the installation, offline and without touching a device."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import ConflictError, MFError
from ..registry import registry
from .env import version_of
from .table import print_json

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: ``ok``, ``warning`` or ``error``.
        subject: What was looked at.
        message: What was found.
        hint: What to do about it.
    """

    level: Level
    subject: str
    message: str
    hint: str = ""


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("doctor", help="look for what is wrong with the installation")
    parser.add_argument("--backend", metavar="NAME", help="look at one backend only, piece by piece, and require it")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the findings; return 1 where one is an error."""
    if options.backend:
        findings = [*_pieces(options.backend), *_backends([options.backend], required=True)]
    else:
        findings = [*_versions(), *_plugins(), *_conflicts(), *_backends(registry.names("backend")), *_cache()]
    if options.json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.level:8s}{finding.subject}: {finding.message}")
            if finding.hint:
                print(f"        try: {finding.hint}")
    return int(any(finding.level == "error" for finding in findings))


def _versions() -> Iterator[Finding]:
    yield Finding("ok", "mf-framework", version_of("mf-framework") or "not installed")
    mindspore, numpy = version_of("mindspore"), version_of("numpy")
    if mindspore is None:
        yield Finding("error", "mindspore", "not installed", "pip install mf-cpu-backend")
    else:
        yield Finding("ok", "mindspore", mindspore)
        if numpy is not None and numpy.split(".")[0] != "1" and mindspore.startswith("2.10."):
            yield Finding(
                "error", "numpy", f"{numpy}, but MindSpore {mindspore} is built for numpy 1.x", "pip install 'numpy<2'"
            )


def _plugins() -> Iterator[Finding]:
    for record in registry.records:
        subject = f"plugin {record.distribution}:{record.name}"
        if record.state == "loaded":
            yield Finding("ok", subject, f"{record.version}, {len(record.specs)} specs in {record.load_ms:.1f} ms")
        elif record.error is None:
            yield Finding("warning", subject, record.reason)
        else:
            where = _last_frame(record.error)
            yield Finding("error", subject, f"{record.state}: {record.reason}{where}", record.hint)


def _last_frame(error: BaseException) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f" ({frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})" if frame is not None else ""


def _conflicts() -> Iterator[Finding]:
    kinds = ("config", "preset", "model:base", "model:causal_lm", "tokenizer", "processor", "task", "backend")
    for kind in kinds:
        for name in registry.names(kind):
            try:
                registry.find(kind, name)
            except ConflictError as error:
                yield Finding("warning", f"{kind.partition(':')[0]} {name}", error.what, error.hint or "")


def _backends(names: list[str], required: bool = False) -> Iterator[Finding]:
    from ..backend import load_backend

    if not names:
        yield Finding("error", "backends", "none is installed", "pip install mf-cpu-backend")
    for name in names:
        try:
            probe = load_backend(name).probe()
        except MFError as error:
            yield Finding("error", f"backend {name}", error.what, error.hint or "")
            continue
        if probe.available:
            facts = "".join(f", {key} {value}" for key, value in probe.details.items())
            yield Finding("ok", f"backend {name}", f"{probe.device_count} device(s){facts}")
        else:
            yield Finding("error" if required else "warning", f"backend {name}", probe.reason)


def _pieces(name: str) -> Iterator[Finding]:
    """Yield each piece that a backend looked for, and the kernels that it offers beside MindSpore's operators."""
    from ..backend import load_backend

    try:
        backend = load_backend(name)
        probe = backend.probe()
    except MFError:
        return  # _backends tells
    for check in probe.checks:
        level: Level = "ok" if check.ok else "error" if check.required else "warning"
        message = check.found or ("there" if check.ok else "missing")
        if check.wanted and not check.ok:
            message += f" (wanted: {check.wanted})"
        yield Finding(level, check.name, message, "" if check.ok else check.remedy)
    if os.environ.get("MF_KERNELS") == "0":
        yield Finding("ok", "fused kernels", "off, by MF_KERNELS=0")
    else:
        own = ", ".join(backend.kernels)
        yield Finding("ok", "fused kernels", f"where the device has them: {own}" if own else "none")


def _cache() -> Iterator[Finding]:
    from ..hub import cache_dir

    folder = cache_dir()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        yield Finding("error", "cache", f"{folder} cannot be written", "set MF_CACHE to a folder of yours")
        return
    import shutil

    free = shutil.disk_usage(existing).free / 1e9
    level: Level = "warning" if free < 2 else "ok"
    yield Finding(level, "cache", f"{_home(folder)}, {free:.0f} GB free", "free some space" if level != "ok" else "")


def _home(path: Path) -> str:
    try:
        return f"~/{path.relative_to(Path.home())}"
    except ValueError:
        return str(path)
