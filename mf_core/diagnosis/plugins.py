"""Plugins that fail, hang, end their process, are slow, or have side effects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import printable
from ..plugins.discovery import BUDGET_MS
from .examination import Examination
from .finding import Finding

#: What an entry module has no need of.
_HEAVY = {
    "huggingface_hub", "mindspore", "numpy", "pandas", "pooch", "pydantic", "safetensors", "scipy", "tensorflow",
    "tokenizers", "torch", "tqdm", "transformers", "yaml",
}  # fmt: skip
_LIGHT = "import in the entry module mf_core.hookspecs and mf_core.specs alone, and name the rest as targets"


def findings(examinations: Sequence[Examination]) -> Iterator[Finding]:
    """Yield findings about each plugin."""
    for examination in examinations:
        yield from _of(examination)


def _of(examination: Examination) -> Iterator[Finding]:
    record, answer = examination.record, examination.answer
    subject = f"plugin {record.distribution}:{record.name}"
    without = f"MF_PLUGINS_BLOCK={record.name} does without it"
    if examination.ended:
        message = f"{examination.ended}; so does whatever looks names up with it"
        hint = f"{without}; report it to the authors of {record.distribution} {record.version}"
        yield Finding("error", subject, message, hint, "plugin-ends-process")
    elif record.state == "incompatible":
        yield Finding("error", subject, record.reason, record.hint, "plugin-incompatible")
    elif record.state in ("blocked", "not allowed"):
        yield Finding("warning", subject, record.reason, "unset the variable to have it", "plugin-not-selected")
    elif record.state != "loaded":
        reason, hint = answer.get("reason") or record.reason, answer.get("hint") or record.hint
        code = "plugin-stale" if record.state == "stale" else "plugin-failed"
        if "TimeoutError: it took longer" in reason:
            code = "plugin-hangs"
        yield Finding("error", subject, f"{record.state}: {reason}", hint, code, record.where)
    else:
        message = f"{record.version}, {len(record.specs)} specs in {record.load_ms:.1f} ms"
        yield Finding("ok", subject, message, code="plugin")
        yield from _side_effects(examination, subject, without)


def _side_effects(examination: Examination, subject: str, without: str) -> Iterator[Finding]:
    record, answer = examination.record, examination.answer
    heavy = sorted(set(answer["packages"]) & _HEAVY)
    if record.load_ms > BUDGET_MS:
        name, ms = examination.heaviest
        why = f", {ms:.0f} of them to import {name}" if name else ""
        message = f"takes {record.load_ms:.0f} ms to load{why}; {BUDGET_MS} are allowed"
        yield Finding("warning", subject, message, f"its authors should {_LIGHT}; {without}", "plugin-slow")
    elif heavy:
        message = f"imports {', '.join(heavy)} when models are listed"
        yield Finding("warning", subject, message, f"its authors should {_LIGHT}", "plugin-heavy")
    changes = [*answer["meddling"], *answer["files"]]
    if changes:
        message = f"while it was loaded it changed: {printable('; '.join(changes))}"
        hint = f"its authors should let the entry module define hooks and nothing else; {without}"
        yield Finding("warning", subject, message, hint, "plugin-meddles")
    if not record.specs:
        hint = "its hooks return nothing, or it has none; mf_core.hookspecs is the manual"
        yield Finding("warning", subject, "offers nothing", hint, "plugin-empty")
    file = answer["file"]
    if file and not Path(file).resolve().is_relative_to(Path(record.location).resolve()):
        message = f"its module was imported from {file}, not from {record.location}, where {record.distribution} is"
        hint = "another folder comes first on sys.path: start Python elsewhere, or see PYTHONPATH"
        yield Finding("warning", subject, printable(message), hint, "plugin-shadowed")
