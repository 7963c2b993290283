"""The plugins of a distribution, which the checks of a contract look at."""

from __future__ import annotations

from typing import Any, ClassVar

from ...errors import NotRegisteredError, did_you_mean
from ...plugins.manager import PluginRecord, Spec, normalize
from ...plugins.registry import load_target, registry
from ...specs import BackendSpec, ConfigSpec, ModelSpec, ProcessorSpec, TaskSpec, TokenizerSpec
from .contract import Contract


class PluginSubject(Contract):
    """A distribution's plugins, and what they offer."""

    distribution: ClassVar[str]
    import_budget_ms: ClassVar[float] = 50.0

    def subject(self) -> str:
        """See the base class."""
        return f"the plugin of {self.distribution}"

    @property
    def owner(self) -> str:
        """The distribution's normalized name."""
        return normalize(self.distribution)

    @property
    def records(self) -> list[PluginRecord]:
        """The records of the distribution's plugins."""
        return records_of(self.distribution)

    @property
    def specs(self) -> list[Spec]:
        """The specs that they return."""
        return [spec for record in self.records for spec in record.specs]

    def spec_of(self, kind: type[Spec], **fields: Any) -> Any:
        """Return the distribution's spec of a kind that has these fields; fail where there is none."""
        __tracebackhide__ = True
        for spec in self.specs:
            if isinstance(spec, kind) and all(getattr(spec, name) == value for name, value in fields.items()):
                return spec
        for record in self.records:
            self.expect(record.state == "loaded", f"{record.module} is {record.state}: {record.reason}", record.hint)
        asked = ", ".join(f"{name}={value!r}" for name, value in fields.items())
        self.fault(f"{self.distribution} offers no {kind.__name__} with {asked}", "see what its hooks return")

    def _modules(self) -> list[str]:
        """Return the entry modules; skip the check where one does not load, which another check tells."""
        for record in self.records:
            if record.state != "loaded":
                self.skip(f"{record.module} does not load")
        return [record.module for record in self.records]

    def _targets(self) -> list[str]:
        """Return all targets, each once."""
        found = [target for spec in self.specs for target, _ in targets_of(spec)]
        return list(dict.fromkeys(found))

    def _load(self, target: str) -> Any:
        if self._needs_mindspore():
            from ...backends.base import import_mindspore

            import_mindspore()  # as the backend wants it, before a target imports it in its own way
        return load_target(target, self.owner)

    def _needs_mindspore(self) -> bool:
        return any(isinstance(spec, (ModelSpec, TaskSpec)) for spec in self.specs)


def records_of(distribution: str) -> list[PluginRecord]:
    """Return the records of a distribution's plugins.

    Raises:
        NotRegisteredError: None is installed.
    """
    found = [record for record in registry.records if record.distribution == normalize(distribution)]
    if not found:
        known = list(dict.fromkeys(record.distribution for record in registry.records))
        raise NotRegisteredError(
            f"no plugin of {distribution!r} is installed", value=distribution,
            why=did_you_mean(normalize(distribution), known),
            hint=f"pip install it, for instance by `pip install --editable .`; installed: {', '.join(known)}",
        )  # fmt: skip
    return found


def targets_of(spec: Spec) -> list[tuple[str, str]]:
    """Return a spec's targets, each with the name of the base class it should have."""
    if isinstance(spec, TaskSpec):
        recipe = [(spec.recipe, "TrainingRecipe")] if spec.recipe else []
        return [(spec.pipeline, "Pipeline"), *recipe]
    names: dict[type, str] = {
        ConfigSpec: "PretrainedConfig", ModelSpec: "PretrainedModel", TokenizerSpec: "PretrainedTokenizer",
        ProcessorSpec: "PretrainedProcessor", BackendSpec: "DeviceBackend",
    }  # fmt: skip
    converter = getattr(spec, "converter", None)
    return [(spec.target, names[type(spec)]), *([(converter, "Converter")] if converter else [])]
