"""Device backends: which can be used, and what is missing for those that cannot."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..errors import MFError
from ..plugins.registry import Registry
from .examination import ask
from .finding import Finding, Level


def findings(registry: Registry) -> Iterator[Finding]:
    """Yield whether each backend can be used; each is probed in a separate process."""
    entries = registry.entries("backend")
    if not entries:
        yield Finding("error", "backends", "none is installed", "pip install mf-cpu-backend", "backend-none")
    for entry in entries:
        subject = f"backend {entry.name}"
        answer, ended, _ = ask("probe", {"target": entry.target, "owner": entry.owner})
        if answer is None:
            hint = f"report it to the authors of {entry.owner}; MF_PLUGINS_BLOCK={entry.owner} does without it"
            yield Finding("error", subject, ended.replace("loaded", "probed"), hint, "backend-ends-process")
        elif "error" in answer:
            fault = f"this is a fault of {entry.owner}: a probe says what is missing, and does not raise"
            yield Finding("error", subject, answer["error"], answer["hint"] or fault, "backend-failed")
        elif answer["available"]:
            facts = "".join(f", {key} {value}" for key, value in answer["details"].items())
            yield Finding("ok", subject, f"{answer['devices']} device(s){facts}", code="backend")
            for check in answer["checks"]:
                yield Finding("warning", subject, check["text"], check["remedy"], "backend-version")
        else:
            hint = f"`mf doctor --backend {entry.name}` shows each piece"
            yield Finding("warning", subject, answer["reason"], hint, "backend-unavailable")


def pieces(name: str) -> Iterator[Finding]:
    """Yield each piece that a backend looked for, its kernels, and last whether it can be used, as it must."""
    from ..backends.base import load_backend

    try:
        backend = load_backend(name)
        probe = backend.probe()
    except MFError as error:
        yield Finding("error", f"backend {name}", error.what, error.hint or "", "backend-failed")
        return
    for check in probe.checks:
        level: Level = "ok" if check.ok else "error" if check.required else "warning"
        message = check.found or ("there" if check.ok else "missing")
        if check.wanted and not check.ok:
            message += f" (wanted: {check.wanted})"
        yield Finding(level, check.name, message, "" if check.ok else check.remedy, "backend-piece")
    if os.environ.get("MF_KERNELS") == "0":
        yield Finding("ok", "fused kernels", "off, by MF_KERNELS=0", code="backend-piece")
    else:
        own = ", ".join(backend.kernels)
        message = f"where the device has them: {own}" if own else "none"
        yield Finding("ok", "fused kernels", message, code="backend-piece")
    if probe.available:
        facts = "".join(f", {key} {value}" for key, value in probe.details.items())
        yield Finding("ok", f"backend {name}", f"{probe.device_count} device(s){facts}", code="backend")
    else:
        yield Finding("error", f"backend {name}", probe.reason, code="backend-unavailable")
