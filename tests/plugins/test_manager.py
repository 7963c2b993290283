"""What becomes of good, bad and unwanted plugins. Every plugin here is a real, installed distribution."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..support.plugin_environment import HEALTHY, Plugin, PluginEnvironment, Wheelhouse, family_plugin

#: Looks names up, twice, uses the healthy plugin, and tells what was seen on the way.
LOOK = """
import json, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from mf_core import AutoConfig
    from mf_core.plugins.registry import registry
    sizes = [AutoConfig.from_pretrained(name).size for name in ("healthy_tiny", "mf-healthy:healthy_tiny")]
    names = registry.names("preset")
print(json.dumps({
    "sizes": sizes,
    "names": names,
    "records": [record.as_dict() for record in registry.records],
    "warnings": [str(w.message) for w in caught if w.category.__name__ == "PluginWarning"],
}))
"""

#: Prints the error that an expression of the registry raises.
CATCH = """
from mf_core import MFError
from mf_core.plugins.registry import registry
try:
    print({expression})
except MFError as error:
    print(type(error).__name__, error)
"""


@dataclass(frozen=True)
class Look:
    """What a process saw that looked names up."""

    names: list[str]
    records: dict[str, dict[str, Any]]
    warnings: list[str]

    def warnings_of(self, distribution: str) -> list[str]:
        return [text for text in self.warnings if f" {distribution} " in text]


def look(environment: PluginEnvironment, **variables: str) -> Look:
    """Look names up in a separate process, where the healthy plugin must work."""
    seen = environment.run(LOOK, **variables).json
    assert seen["sizes"] == [1, 1]
    records = {record["distribution"]: record for record in seen["records"]}
    assert records["mf-healthy"]["state"] == "loaded"
    return Look(seen["names"], records, seen["warnings"])


def catch(environment: PluginEnvironment, expression: str, **variables: str) -> str:
    result = environment.run(CATCH.format(expression=expression), **variables)
    assert result.code == 0, result.stderr
    return result.stdout


def hook(result: str, name: str = "mf_configs") -> str:
    return f"@hookimpl\ndef {name}():\n    return {result}\n"


def config(**fields: str) -> str:
    """Return the text of a list of one ConfigSpec, good but for the fields given as Python text."""
    fields = {"model_type": "'x'", "target": "'a.b:C'", **fields}
    return "[ConfigSpec(" + ", ".join(f"{key}={value}" for key, value in fields.items()) + ")]"


def preset(**fields: str) -> str:
    fields = {"name": "'x'", **fields}
    return config(presets="(Preset(" + ", ".join(f"{key}={value}" for key, value in fields.items()) + "),)")


# One bad plugin: left out, recorded, warned of once -----------------------------------------------------------------

#: Case -> what the plugin's module holds, and what the user reads.
BROKEN: dict[str, tuple[str, list[str]]] = {
    "import-raises": ("raise ValueError('no luck')", ["ValueError: no luck"]),
    "import-exits": ("raise SystemExit(3)", ["SystemExit: 3"]),
    "import-panics": ("class Panic(BaseException): pass\nraise Panic('at the disco')", ["Panic: at the disco"]),
    "syntax": ("def", ["SyntaxError"]),
    "needs-package": ("import surely_not_there", ["ModuleNotFoundError", "surely_not_there"]),
    "message-of-many-lines": (r"raise ValueError('one\ntwo \x1b[31mred')", [r"ValueError: one two \x1b[31mred"]),
    "message-that-raises": (
        "class Odd(Exception):\n    def __str__(self): return 1 / 0\nraise Odd",
        ["Odd: (its message cannot be shown: ZeroDivisionError)"],
    ),
    "looks-names-up": (
        "from mf_core.plugins.registry import registry\nregistry.names('preset')",
        ["looked a name up while plugins were being loaded", "mf_core.hookspecs and mf_core.specs only"],
    ),
    "imports-a-model": (
        "from mf_core import HealthyModel", ["looked a name up while plugins were being loaded"]
    ),
    "hook-raises": (hook("1 / 0"), ["ZeroDivisionError: division by zero"]),
    "hook-exits": (hook("exit(0)"), ["SystemExit: 0"]),
    "returns-none": (hook("None"), ["mf_configs() returned NoneType, not a list of ConfigSpec"]),
    "returns-generator": (hook("(x for x in ())"), ["mf_configs() returned generator"]),
    "returns-string": (hook("'gpt2'"), ["mf_configs() returned str"]),
    "returns-dicts": (hook("[{'name': 'x'}]", "mf_models"), ["mf_models() returned {'name': 'x'}", "not a ModelSpec"]),
    "returns-other-specs": (hook(config(), "mf_models"), ["mf_models() returned ConfigSpec(", "not a ModelSpec"]),
    "is-generator": ("@hookimpl\ndef mf_configs():\n    yield 1\n", ["mf_configs() returned generator"]),
    "takes-argument": ("@hookimpl\ndef mf_configs(registry):\n    return []\n", ["mf_configs", "registry"]),
    "unknown-hook": (hook("[]", "mf_configz"), ["unknown hook 'mf_configz'"]),
    "unknown-hook-and-bad-one": (hook("[]", "mf_aaa") + hook("[]").replace("()", "(x)"), ["mf_configs"]),
    "target": (hook(config(target="'a.b.C'")), ["target='a.b.C'", "'package.module:Attribute'"]),
    "target-expression": (hook(config(target="'os:system(1)'")), ["target='os:system(1)'"]),
    "target-class": (hook(config(target="int")), ["target=<class 'int'>"]),
    "name": (hook(config(model_type="'my model'")), ["model_type='my model'", "is not a name"]),
    "name-newline": (hook(config(model_type=r"'x\n'")), [r"model_type='x\n'"]),
    "name-escape": (hook(preset(name=r"'\x1b[31mx'")), [r"name='\x1b[31mx'"]),
    "name-colon": (hook(preset(name="'mf-gpt2:gpt2'")), ["name='mf-gpt2:gpt2'"]),
    "name-none": (hook(config(model_type="None")), ["model_type=None"]),
    "aliases-string": (hook(preset(aliases="'y'")), ["Preset.aliases='y' is not a tuple of names"]),
    "presets-list": (hook(config(presets="[Preset(name='x')]")), ["ConfigSpec.presets=", "is not a tuple of Preset"]),
    "preset-config": (hook(preset(config="[1]")), ["Preset.config=[1]"]),
    "preset-config-key": (hook(preset(config="{1: 2}")), ["Preset.config={1: 2}"]),
    "preset-source": (hook(preset(weights="'gpt2'")), ["Preset.weights='gpt2'", "'hub:owner/name'"]),
    "preset-sha256": (hook(preset(sha256="{'f': 'abc'}")), ["Preset.sha256='abc'", "64 lower-case hexadecimal digits"]),
    "description-number": (hook(preset(description="5")), ["Preset.description=5"]),
    "description-escape": (hook(preset(description=r"'\x1b[2J'")), [r"Preset.description='\x1b[2J'"]),
    "unknown-field": (hook(config(colour="1")), ["colour"]),
    "priority": (
        hook("[BackendSpec(name='x', target='a:B', priority='high')]", "mf_backends"), ["BackendSpec.priority='high'"]
    ),
    "preset-twice": (hook(preset(aliases="('x',)")), ["claims the preset 'x' twice"]),
    "family-twice": (hook(f"{config()} * 2"), ["claims the config 'x' twice"]),
}  # fmt: skip


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Wheelhouse) -> PluginEnvironment:
    """An environment in which everything is broken but one."""
    environment = PluginEnvironment(tmp_path_factory.mktemp("broken"), wheelhouse)
    environment.install(HEALTHY, *(Plugin(f"mf-{case}", body) for case, (body, _) in BROKEN.items()))
    return environment


@pytest.fixture(scope="module")
def seen(broken: PluginEnvironment) -> Look:
    return look(broken)


@pytest.mark.parametrize("case", BROKEN)
def test_broken_plugin_is_left_out(seen: Look, case: str) -> None:
    record = seen.records[f"mf-{case}"]
    assert record["state"] == "failed"
    assert record["specs"] == 0
    (warning,) = seen.warnings_of(f"mf-{case}")
    assert f"the plugin {case!r} of mf-{case} 1.0 is left out: {record['reason']}" in warning
    assert "try: " in warning
    for words in BROKEN[case][1]:
        assert words in warning
    assert len(record["reason"].splitlines()) == 1


def test_everything_else_still_works(seen: Look) -> None:
    assert seen.names == ["healthy_tiny"]
    assert {name for name, record in seen.records.items() if record["state"] == "loaded"} == {
        "mf-framework", "mf-healthy",
    }  # fmt: skip
    assert len(seen.warnings) == len(BROKEN)


def test_record_says_what_became_of_the_plugin(broken: PluginEnvironment, seen: Look) -> None:
    good, bad = seen.records["mf-healthy"], seen.records["mf-hook-raises"]
    for record in (good, bad):
        assert record["load_ms"] > 0
        assert record["location"] == str(broken.site_packages)
        assert record["group"] == "mf_core.v1"
    assert (good["name"], good["module"], good["version"]) == ("healthy", "mf_healthy.plugin", "2.3.4")
    assert (good["specs"], good["reason"], good["traceback"]) == (2, "", "")
    assert "mf_hook_raises/plugin.py" in bad["traceback"]
    assert bad["traceback"].endswith("ZeroDivisionError: division by zero\n")
    said = catch(broken, "[record.error for record in registry.records if record.name == 'hook-raises']")
    assert said == "[ZeroDivisionError('division by zero')]\n"


def test_command_line_lists_what_is_there_and_warns_once_of_each(broken: PluginEnvironment) -> None:
    result = broken.mf("models")
    assert result.code == 0
    assert "healthy_tiny" in result.stdout
    assert result.stderr.count("mf: warning: ") == len(BROKEN)
    assert "\x1b" not in result.stdout + result.stderr
    verbose = broken.mf("plugins", "--verbose").stdout
    assert "mf_hook_raises/plugin.py" in verbose
    assert "ZeroDivisionError: division by zero" in verbose


def test_order_of_loading_is_always_the_same(broken: PluginEnvironment) -> None:
    orders = [list(look(broken, PYTHONHASHSEED=seed).records) for seed in "12"]
    assert orders[0] == orders[1] == ["mf-framework", *sorted(orders[0][1:])]


def test_strict_mode_raises(broken: PluginEnvironment) -> None:
    result = broken.mf("models", MF_PLUGINS_STRICT="1", MF_PLUGINS="healthy,hook-raises")
    assert result.code == 2
    assert "[MF102] the plugin 'hook-raises' of mf-hook-raises 1.0 is left out: ZeroDivisionError" in result.stderr
    said = catch(broken, "registry.names('task')", MF_PLUGINS_STRICT="1")
    assert said.startswith("PluginError [MF102]")
    assert look(broken, MF_PLUGINS_STRICT="1", MF_PLUGINS="healthy").warnings == []
    assert look(broken, MF_PLUGINS_STRICT="0", MF_PLUGINS="healthy,hook-raises").warnings


# The user's choice --------------------------------------------------------------------------------------------------


def test_blocked_plugin_is_not_imported(broken: PluginEnvironment) -> None:
    seen = look(broken, MF_PLUGINS_BLOCK="import-raises, mf_hook_raises")
    for name in ("mf-import-raises", "mf-hook-raises"):  # by entry point; by distribution, however it is spelt
        record = seen.records[name]
        assert (record["state"], record["reason"]) == ("blocked", "blocked by MF_PLUGINS_BLOCK")
        assert (record["load_ms"], record["traceback"]) == (0, "")
        assert not seen.warnings_of(name)


def test_allow_list(broken: PluginEnvironment) -> None:
    seen = look(broken, MF_PLUGINS="MF_Healthy")
    assert seen.warnings == []
    record = seen.records["mf-import-exits"]
    assert (record["state"], record["reason"]) == ("not allowed", "not on the MF_PLUGINS list")


def test_block_wins_over_allow(broken: PluginEnvironment) -> None:
    lists = {"MF_PLUGINS": "healthy", "MF_PLUGINS_BLOCK": "healthy"}
    said = catch(broken, "registry.find('preset', 'mf-healthy:healthy_tiny')", **lists)
    assert "'mf-healthy:healthy_tiny' belongs to mf-healthy, which is installed but not loaded" in said
    assert "blocked by MF_PLUGINS_BLOCK" in said


def test_empty_allow_list_is_none(broken: PluginEnvironment) -> None:
    result = broken.mf("models", "--json", MF_PLUGINS="")
    assert result.json == []
    assert result.stderr == ""
    assert "text_generation" in catch(broken, "registry.names('task')", MF_PLUGINS="")  # the core's own task stays


@pytest.mark.parametrize("variable", ["MF_PLUGINS", "MF_PLUGINS_BLOCK"])
def test_misspelt_name_is_warned_of(broken: PluginEnvironment, variable: str) -> None:
    result = broken.mf("models", **{"MF_PLUGINS": "healthy", variable: "helthy"})
    assert result.code == 0
    assert f"{variable} names 'helthy', but no installed plugin is called that" in result.stderr
    assert "did you mean 'healthy'" in result.stderr
    result = broken.mf("models", **{"MF_PLUGINS": "healthy", variable: "helthy", "MF_PLUGINS_STRICT": "1"})
    assert result.code == 2
    assert "did you mean 'healthy'" in result.stderr


# Two that claim one name --------------------------------------------------------------------------------------------

ALPHA = family_plugin("mf-alpha", "shared", ["shared_tiny", "alpha_tiny"])
BETA = family_plugin("mf-beta", "shared", ["shared_tiny", "beta_tiny"])


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Wheelhouse) -> PluginEnvironment:
    environment = PluginEnvironment(tmp_path_factory.mktemp("rivals"), wheelhouse)
    environment.install(HEALTHY, ALPHA, BETA)
    return environment


def test_rivals_are_loaded_and_no_one_is_warned(rivals: PluginEnvironment) -> None:
    seen = look(rivals)
    assert seen.warnings == []
    assert seen.names == ["alpha_tiny", "beta_tiny", "healthy_tiny", "shared_tiny"]


CONFIG_CLASS = "__import__('mf_core').AutoConfig.from_pretrained({!r}).__class__.__module__"


@pytest.mark.parametrize(
    "name, prefer, owner",
    [
        ("mf-alpha:shared_tiny", "", "mf_alpha"),
        ("MF_Beta:shared_tiny", "", "mf_beta"),
        ("beta_tiny", "", "mf_beta"),  # a preset's own distribution says which family of that name is meant
        ("shared_tiny", "mf-beta", "mf_beta"),
        ("shared_tiny", "mf-other, mf_alpha:shared_tiny", "mf_alpha"),
        ("mf-alpha:shared_tiny", "mf-beta", "mf_alpha"),
    ],
)
def test_ways_out_of_a_conflict(rivals: PluginEnvironment, name: str, prefer: str, owner: str) -> None:
    assert catch(rivals, CONFIG_CLASS.format(name), MF_PREFER=prefer) == f"{owner}.config\n"


@pytest.mark.parametrize("prefer", ["", "mf-other", "mf-alpha:other_tiny"])
def test_name_in_conflict_is_an_error_that_names_both(rivals: PluginEnvironment, prefer: str) -> None:
    said = catch(rivals, CONFIG_CLASS.format("shared_tiny"), MF_PREFER=prefer)
    assert said.startswith("ConflictError [MF103] the preset 'shared_tiny' is claimed by mf-alpha and mf-beta")
    assert "'mf-alpha:shared_tiny'" in said
    assert "MF_PREFER=mf-alpha" in said


def test_class_and_family_in_conflict(rivals: PluginEnvironment) -> None:
    said = catch(rivals, "__import__('mf_core').SharedConfig")
    assert "the class 'SharedConfig' is claimed by mf-alpha and mf-beta" in said
    assert "import SharedConfig from mf_alpha.config" in said
    said = catch(rivals, "__import__('mf_core').AutoConfig.from_config({'model_type': 'shared'})")
    assert "the config 'shared' is claimed by mf-alpha and mf-beta" in said
    result = rivals.mf("doctor")
    assert "claimed by mf-alpha and mf-beta" in result.stdout


# Other versions of the interface ------------------------------------------------------------------------------------

MARKER = "import pathlib\npathlib.Path.home().joinpath('imported').touch()\n"


def test_plugin_for_another_interface_is_named_and_not_imported(environment: Callable[..., PluginEnvironment]) -> None:
    future = Plugin("mf-future", MARKER, "7.1", entry_points={"mf_core.v2": {"future": "mf_future.plugin"}})
    both = Plugin(
        "mf-both", "", modules={"second": MARKER},
        entry_points={"mf_core.v1": {"both": "mf_both.plugin"}, "mf_core.v2": {"both": "mf_both.second"}},
    )  # fmt: skip
    made = environment(HEALTHY, future, both)
    seen = look(made)
    record = seen.records["mf-future"]
    assert (record["state"], record["group"], record["load_ms"]) == ("incompatible", "mf_core.v2", 0)
    (warning,) = seen.warnings
    assert "mf-future 7.1 is written for the plugin interface mf_core.v2; this core has mf_core.v1" in warning
    assert "try: install a release of mf-future for mf_core.v1" in warning
    assert seen.records["mf-both"]["state"] == "loaded"  # what it has for other cores is no fault
    assert not (made.home / "imported").exists()


# What an entry point or target names is not there -------------------------------------------------------------------

TARGETS = Plugin(
    "mf-targets",
    """
    @hookimpl
    def mf_configs():
        modules = {
            "module": ".gone", "submodule": ".broken", "attribute": "",
            "package": ".needy", "exit": ".exits", "raise": ".raises",
        }
        return [ConfigSpec(model_type=name, target=f"mf_targets{m}:Config") for name, m in modules.items()]
    """,
    modules={
        "broken": "import mf_targets.layers",
        "needy": "import surely_not_there.submodule",
        "exits": "raise SystemExit('bye')",
        "raises": "1 / 0",
    },
)


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Wheelhouse) -> PluginEnvironment:
    environment = PluginEnvironment(tmp_path_factory.mktemp("targets"), wheelhouse)
    environment.install(HEALTHY, TARGETS)
    return environment


@pytest.mark.parametrize(
    "name, expected",
    [
        ("module", ["TargetError [MF105] mf-targets offers 'mf_targets.gone:Config'",
                    "'mf_targets.gone' does not exist", "reinstall it"]),
        ("submodule", ["TargetError", "mf-targets", "'mf_targets.layers' does not exist", "reinstall it"]),
        ("attribute", ["TargetError", "mf-targets offers 'mf_targets:Config'", "mf_targets has no 'Config'"]),
        (
            "package",
            ["NotInstalledError [MF106]", "of mf-targets needs 'surely_not_there', which is not installed",
             "try: pip install mf-targets", "install 'surely_not_there'"],
        ),
        ("exit", ["TargetError", "of mf-targets cannot be imported", "SystemExit: bye"]),
        ("raise", ["TargetError", "of mf-targets cannot be imported", "ZeroDivisionError", "report it to its authors"]),
    ],
)  # fmt: skip
def test_target_that_cannot_be_had(targets: PluginEnvironment, name: str, expected: list[str]) -> None:
    said = catch(targets, f"registry.find('config', {name!r}).load()")
    for words in expected:
        assert words in said


def test_targets_are_not_imported_before_they_are_used(targets: PluginEnvironment) -> None:
    seen = look(targets)
    assert (seen.warnings, seen.records["mf-targets"]["state"]) == ([], "loaded")


def test_entry_point_that_names_nothing(environment: Callable[..., PluginEnvironment]) -> None:
    def plugin(name: str, *modules: str) -> Plugin:
        return Plugin(name, hook(preset()), entry_points={"mf_core.v1": dict(zip("abc", modules, strict=False))})

    seen = look(
        environment(
            HEALTHY,
            plugin("mf-gone", "mf_gone.nothing"),
            plugin("mf-object", "mf_object.plugin:hooks"),
            plugin("mf-twice", "mf_twice.plugin", "mf_twice.plugin"),
        )
    )
    (warning,) = seen.warnings_of("mf-gone")
    assert "No module named 'mf_gone.nothing'" in warning
    (warning,) = seen.warnings_of("mf-object")
    assert "the entry point 'a' names 'mf_object.plugin:hooks', which is not a module" in warning
    assert "'package.module'" in warning
    (warning,) = seen.warnings_of("mf-twice")
    assert "the plugin 'b' of mf-twice 1.0 is left out: the distribution claims the config 'x' twice" in warning
    assert seen.names == ["healthy_tiny", "x"]


# Installations in odd states ----------------------------------------------------------------------------------------


def test_editable_install_whose_source_is_gone(environment: Callable[..., PluginEnvironment]) -> None:
    made = environment(HEALTHY)
    source = made.install_editable(family_plugin("mf-moved", "moved", ["moved_tiny"]))
    seen = look(made)
    assert (seen.records["mf-moved"]["state"], seen.records["mf-moved"]["location"]) == ("loaded", str(source))
    shutil.rmtree(source)
    seen = look(made)
    assert seen.names == ["healthy_tiny"]
    assert seen.records["mf-moved"]["state"] == "stale"
    (warning,) = seen.warnings
    assert f"mf-moved is an editable install of {source}, which is gone" in warning
    assert "pip uninstall mf-moved" in warning


def test_damaged_metadata_harms_no_other(environment: Callable[..., PluginEnvironment]) -> None:
    garbled, leftover = Plugin("mf-garbled", hook("[]")), Plugin("mf-leftover", hook("[]"))
    made = environment(HEALTHY, garbled, leftover)
    (made.dist_info(garbled) / "entry_points.txt").write_text("[mf_core.v1]\nno equals sign\n")
    (made.dist_info(leftover) / "METADATA").unlink()
    for name, data in (("other-1.0", b"\xff\xfe[mf_core.v1]"), ("another-1.0", b"[console_scripts]\n???\n")):
        (made.site_packages / f"{name}.dist-info").mkdir()
        (made.site_packages / f"{name}.dist-info" / "entry_points.txt").write_bytes(data)
    shutil.copytree(made.dist_info(HEALTHY), made.site_packages / "~f_healthy-2.3.3.dist-info")  # as pip leaves them
    result = made.mf("models", "--json")
    assert [row["name"] for row in result.json] == ["healthy_tiny"]
    assert result.stderr.count("mf: warning: ") == 1
    assert "mf-garbled 1.0 is left out: the entry_points.txt of mf-garbled cannot be read" in result.stderr
    records = made.mf("plugins", "--json").json
    assert [record["distribution"] for record in records] == ["mf-framework", "mf-garbled", "mf-healthy"]


def test_first_of_two_installations_counts(environment: Callable[..., PluginEnvironment], tmp_path: Path) -> None:
    made = environment(HEALTHY)
    shutil.copytree(made.site_packages / "mf_healthy", tmp_path / "first" / "mf_healthy")
    info = tmp_path / "first" / "mf_healthy-9.9.dist-info"
    shutil.copytree(made.dist_info(HEALTHY), info)
    metadata = (info / "METADATA").read_text()
    (info / "METADATA").write_text(metadata.replace("Version: 2.3.4", "Version: 9.9"))
    record = look(made, PYTHONPATH=str(tmp_path / "first")).records["mf-healthy"]
    assert (record["version"], record["location"]) == ("9.9", str(tmp_path / "first"))


# Hooks of later versions, threads -----------------------------------------------------------------------------------


def test_optional_hook_that_this_core_has_not(environment: Callable[..., PluginEnvironment]) -> None:
    body = "@hookimpl(optionalhook=True)\ndef mf_reasoners():\n    return ['one']\n" + hook(preset())
    seen = look(environment(HEALTHY, Plugin("mf-ahead", body)))
    assert seen.warnings == []
    assert seen.names == ["healthy_tiny", "x"]


THREADS = """
import threading, warnings
from mf_core.plugins.registry import registry

barrier, answers = threading.Barrier(8), []

def ask():
    barrier.wait()
    answers.append((registry.names("preset"), registry.find("preset", "healthy_tiny").owner))

threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(answers), *set(map(str, answers)), sep="\\n")
"""


def test_first_look_up_in_many_threads(environment: Callable[..., PluginEnvironment]) -> None:
    slow = "import sys, time\ntime.sleep(0.2)\n" + hook("print('called', file=sys.stderr) or []", "mf_tasks")
    result = environment(HEALTHY, Plugin("mf-slow", slow), Plugin("mf-bad", "1 / 0")).run(THREADS)
    assert result.code == 0
    assert result.stdout == "8\n(['healthy_tiny'], 'mf-healthy')\n"
    assert result.stderr.count("called") == 1
    assert result.stderr.count("mf-bad 1.0 is left out") == 1
