"""A plugin loads, quickly and without a trace."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from ...plugins.manager import names_of
from ...specs import ConfigSpec, ProcessorSpec, TokenizerSpec
from ..contracts.distribution import PluginSubject
from ..processes import probes
from ..processes.run import in_fresh_process

#: What takes long to import, and is therefore named first.
_HEAVY = {
    "huggingface_hub", "mindspore", "numpy", "pydantic", "safetensors", "tokenizers", "torch", "transformers", "yaml",
}  # fmt: skip


class LoadingChecks(PluginSubject):
    """The checks of the entry module and of the first look-up."""

    def test_plugin_loads(self) -> None:
        """A plugin that does not load is left out of every listing, and its names are unknown."""
        for record in self.records:
            last = record.traceback.strip().splitlines()[-3:]
            shown = "".join(f"\n    {line}" for line in last)
            self.expect(record.state == "loaded", f"{record.module} is {record.state}: {record.reason}{shown}",
                        record.hint)  # fmt: skip
        self.expect(self.specs, f"the hooks of {self.distribution} offer nothing", "mark them with @hookimpl")

    def test_entry_module_brings_nothing_heavy(self) -> None:
        """Listing what is installed imports every plugin's entry module: what that imports, everybody waits for."""
        for module, seen in self._entries():
            named = [name for name in seen["foreign"] if name in _HEAVY] or seen["foreign"]
            more = len(seen["foreign"]) - len(named[:5])
            also = ", ".join(named[:5]) + (f" and {more} more" if more else "")
            self.expect(
                not named, f"importing {module} also imports {also}",
                "name targets as strings; the entry module imports mf_core.hookspecs and mf_core.specs only",
            )  # fmt: skip

    def test_entry_module_is_quick(self) -> None:
        """Every start of every program that looks a name up pays for it."""
        for module in self._modules():
            best = _best_time(module, self.import_budget_ms)
            self.expect(
                best <= self.import_budget_ms,
                f"importing {module} and calling its hooks takes {best:.0f} ms, of {self.import_budget_ms:.0f}",
                "do what takes long when a target is used; `python -X importtime -c 'import …'` shows where time goes",
            )  # fmt: skip

    def test_entry_module_changes_nothing(self) -> None:
        """Listing plugins must not change a program that may never use this one."""
        for record in self.records:
            self.expect(not record.meddling, f"{record.module} {', '.join(record.meddling)} while it was loaded",
                        "do such things where they are asked for: in a call, not at import")  # fmt: skip
        for module, seen in self._entries():
            self.expect(
                not seen["changes"], f"importing {module} changes {', '.join(seen['changes'])}",
                "do such things where they are asked for: in a call, not at import",
            )  # fmt: skip

    def test_entry_module_writes_nothing(self) -> None:
        """Listing plugins must work offline, in a read-only folder, for a user without a home."""
        for module, seen in self._entries():
            self.expect(
                not seen["files"], f"importing {module}: {'; '.join(seen['files'][:3])}",
                "read and write files, and start processes, when a target is used",
            )  # fmt: skip

    def test_first_look_up_from_threads(self) -> None:
        """Servers look their first name up from many threads at once."""
        self._modules()
        names = sorted({(kind, name) for spec in self.specs for kind, name in names_of(spec)})
        light = [spec.target for spec in self.specs if isinstance(spec, (ConfigSpec, TokenizerSpec, ProcessorSpec))]
        problems = in_fresh_process(probes.first_look_up, self.owner, [list(name) for name in names], light)
        self.expect(not problems, "; ".join(problems), "keep no state that an import or a hook changes")

    def _entries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for module in self._modules():
            seen = _entry_seen(module)
            self.expect(not seen["error"], f"{module} fails: {seen['error']}")
            yield module, seen


@functools.cache
def _entry_seen(module: str) -> dict[str, Any]:
    seen: dict[str, Any] = in_fresh_process(probes.entry_module, module, untouched=True)
    return seen


@functools.cache
def _best_time(module: str, budget: float) -> float:
    best = float("inf")
    for _ in range(3):
        best = min(best, in_fresh_process(probes.entry_time, module, untouched=True))
        if best <= budget:
            break
    return best
