"""The wheel has all that the plugin needs, and nothing that is another's."""

from __future__ import annotations

import sys

from ...errors import NotInstalledError, PluginError
from ...specs import ConfigSpec
from ..contracts.distribution import PluginSubject
from ..environment.wheels import wheel_files
from .requirements import distributions_of_modules, imports_of, required_by

#: What a wheel must not put beside its package: other projects have folders of these names too.
_STRAY = {"tests", "test", "docs", "examples", "src", "build", "dist", "benchmarks"}


class PackagingChecks(PluginSubject):
    """The checks of the distribution's files."""

    def test_wheel_has_targets_and_data(self) -> None:
        """What works from the sources alone is missing for everybody who installs the wheel."""
        files = self._wheel()
        for target in [*(record.module for record in self.records if record.module), *self._targets()]:
            path = target.partition(":")[0].replace(".", "/")
            there = any(name.startswith((f"{path}.", f"{path}/__init__.")) for name in files)
            self.expect(there, f"the wheel has no module for {target!r}",
                        "see which packages pyproject.toml puts into the wheel")  # fmt: skip
        for source in self._package_folders():
            folder = source.removeprefix("package:")
            top, _, rest = folder.partition("/")
            path = "/".join(filter(None, [top.replace(".", "/"), rest]))
            self.expect(any(name.startswith(f"{path}/") for name in files), f"the wheel has no files for {source!r}",
                        "data files are in the wheel when they are inside the package and not ignored by git")

    def test_wheel_has_nothing_astray(self) -> None:
        """A folder called tests at the top of site-packages collides with that of the next careless project."""
        tops = {name.partition("/")[0] for name in self._wheel() if "/" in name}
        self.expect(not tops & _STRAY, f"the wheel puts {', '.join(sorted(tops & _STRAY))} beside the package",
                    "name the package alone in [tool.hatch.build.targets.wheel] packages")  # fmt: skip

    def test_distribution_requires_what_it_imports(self) -> None:
        """What happens to be installed at the author's is missing at somebody else's."""
        if self.records[0].group == "builtin":
            self.skip("the core's own modules are not a separate distribution")
        required = required_by(self.owner)
        self.expect("mf-framework" in required, f"{self.distribution} does not require mf-framework",
                    'add "mf-framework>=0.1,<0.2", or what it was tested with, to the dependencies')  # fmt: skip
        known = distributions_of_modules()
        for package in {record.module.partition(".")[0] for record in self.records}:
            for module, file in imports_of(package).items():
                # MindSpore comes with the backends, of which the user chooses one.
                if module in sys.stdlib_module_names or module in (package, "mindspore", "mf_core"):
                    continue
                owners = known.get(module, frozenset())
                self.expect(not owners or owners & required,
                            f"{file} imports {module}, of {', '.join(sorted(owners))}, which is not required",
                            f"add it to the dependencies of {self.distribution}")  # fmt: skip

    def _package_folders(self) -> list[str]:
        presets = [preset for spec in self.specs if isinstance(spec, ConfigSpec) for preset in spec.presets]
        sources = [source for preset in presets for source in (preset.weights, preset.tokenizer) if source]
        mine = {record.module.partition(".")[0] for record in self.records}
        inside = [source for source in sources if source.startswith("package:")]
        return [s for s in inside if s.removeprefix("package:").partition("/")[0].partition(".")[0] in mine]

    def _wheel(self) -> frozenset[str]:
        __tracebackhide__ = True
        if self.records[0].group == "builtin":
            self.skip("the core's own modules are not a separate distribution")
        try:
            return wheel_files(self.owner, self.records[0].location)
        except NotInstalledError as error:
            self.skip(f"{error.what}: {error.hint}")
        except PluginError as error:
            self.fault(f"{error.what}: {error.why}", error.hint or "")
