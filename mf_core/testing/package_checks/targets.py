"""A plugin's targets are there, are what its specs say, and may be imported anywhere."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from ...errors import MFError, NotInstalledError, did_you_mean
from ...plugins.manager import Spec
from ...specs import BackendSpec, ConfigSpec, ModelSpec, Preset
from ..contracts.distribution import PluginSubject, targets_of
from ..processes import probes
from ..processes.run import in_fresh_process


class TargetChecks(PluginSubject):
    """The checks of targets and presets."""

    def test_targets_can_be_imported(self) -> None:
        """A target that is not there fails at a user's first use of it, not when the plugin is listed."""
        for target in self._targets():
            try:
                self._load(target)
            except NotInstalledError as error:
                self.fault(error.what, f"add it to the dependencies of {self.distribution}: {error.hint}")
            except MFError as error:
                self.fault(f"{error.what}{': ' + error.why if error.why else ''}", f"see {target.partition(':')[0]}")

    def test_targets_are_what_the_specs_say(self) -> None:
        """The core relies on the base classes, and finds a family by the name that spec and class agree on."""
        for spec in self.specs:
            for target, base in _bases(spec):
                cls = self._load(target)
                self.expect(isinstance(cls, type) and issubclass(cls, base),
                            f"{target} is not a subclass of mf_core's {base.__name__}")  # fmt: skip
            self._check_names(spec)

    def test_targets_change_nothing(self) -> None:
        """A program that uses a model must not find its logging, warnings, seeds or environment changed."""
        seen = _targets_seen(self.owner, tuple(self._targets()), self._needs_mindspore())
        self.expect(
            not seen["changes"], f"importing the targets changes {', '.join(seen['changes'])}",
            "do such things where they are asked for: in a call, not at import",
        )  # fmt: skip
        self.expect(
            not seen["files"], f"importing the targets: {'; '.join(seen['files'][:3])}",
            "read and write files, and start processes, when they are needed",
        )  # fmt: skip

    def test_presets_are_sound(self) -> None:
        """A preset that does not fit its config class fails for the user who types its name."""
        for spec in (spec for spec in self.specs if isinstance(spec, ConfigSpec)):
            for preset in spec.presets:
                cls = self._load(spec.target)
                unknown = [name for name in preset.config if cls.field_of(name) is None]
                self.expect(not unknown, f"the preset {preset.name!r} sets {', '.join(unknown)}, which is no field",
                            did_you_mean(unknown[0], cls.model_fields) or "" if unknown else "")  # fmt: skip
                try:
                    cls.from_dict({"model_type": spec.model_type, **preset.config})
                except MFError as error:
                    self.fault(f"the preset {preset.name!r}: {error.what}", "mend the preset's config")
                self._check_files(preset)

    def _check_names(self, spec: Spec) -> None:
        if isinstance(spec, BackendSpec):
            name, wanted = "name", spec.name
            self.expect(wanted == wanted.lower(), f"the backend's name {wanted!r} is not in lower case")
        elif isinstance(spec, (ConfigSpec, ModelSpec)):
            name, wanted = "model_type", spec.model_type
        else:
            return
        cls = self._load(spec.target)
        own = getattr(getattr(cls, "config_class", None) if isinstance(spec, ModelSpec) else cls, name, None)
        self.expect(own == wanted, f"the spec of {spec.target} says {wanted!r}, and the class says {name}={own!r}",
                    f"make the spec's {name} and the class's the same")  # fmt: skip

    def _check_files(self, preset: Preset) -> None:
        from ...hub import open_source

        for source in filter(None, (preset.weights, preset.tokenizer)):
            if source.startswith("package:"):
                try:
                    open_source(source)
                except MFError as error:
                    self.fault(f"the preset {preset.name!r}: {error.what}", "ship the folder, or name another source")
            elif source.startswith("http"):
                self.expect(preset.sha256, f"the preset {preset.name!r} lists no SHA-256 of the files at {source}",
                            "list every file: without its SHA-256 none is taken from a URL")  # fmt: skip
        self.expect(preset.weights or preset.weights_note or not preset.tokenizer,
                    f"the preset {preset.name!r} has no weights, and does not say what users can do",
                    "say it in weights_note")  # fmt: skip


def _bases(spec: Spec) -> Iterator[tuple[str, type]]:
    import mf_core

    for target, base in targets_of(spec):
        if base == "Converter":
            from ...conversion import Converter

            yield target, Converter
        else:
            yield target, getattr(mf_core, base)


@functools.cache
def _targets_seen(owner: str, names: tuple[str, ...], with_mindspore: bool) -> dict[str, Any]:
    seen: dict[str, Any] = in_fresh_process(
        probes.targets, [[name, owner] for name in names], with_mindspore, untouched=True
    )
    return seen
