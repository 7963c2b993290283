"""``mf doctor`` in environments in which something is really wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ..plugins.test_manager import ALPHA, BETA, hook, preset
from ..support.plugin_environment import HEALTHY, Plugin, PluginEnvironment, Wheelhouse, family_plugin

KEYS = ["level", "subject", "message", "hint", "code", "where"]


class Findings:
    """What the doctor says, from ``--json``."""

    def __init__(self, environment: PluginEnvironment, *options: str, **variables: str) -> None:
        result = environment.mf("doctor", "--json", *options, **variables)
        assert result.stderr == ""
        self.code = result.code
        self.all: list[dict[str, Any]] = json.loads(result.stdout)

    def of(self, code: str, about: str = "") -> dict[str, Any]:
        """Return the one finding of a kind, about a subject that contains ``about``."""
        (finding,) = (each for each in self.all if each["code"] == code and about in each["subject"])
        assert finding["hint"] or finding["level"] == "ok"
        return finding

    def has(self, code: str) -> bool:
        return any(each["code"] == code for each in self.all)


def faulty(name: str, body: str, **modules: str) -> Plugin:
    return Plugin(f"mf-{name}", body, modules=modules)


SICK = (
    faulty("deep", "from .helper import work\nwork()", helper="import json\ndef work():\n    return json.loads('{')\n"),
    faulty("hook", hook("missing_name")),
    faulty("spec", hook(preset(name="'no name'"))),
    faulty("nothing", hook("None")),
    faulty("syntax", "x = (1,\n"),
    faulty("needs", "import surely_not_there"),
    faulty("exits", "import os\nos._exit(7)\n"),
    faulty("killed", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"),
    faulty("hangs", "import threading\nthreading.Event().wait()\n"),
    faulty("threads", "from threading import Event, Thread\nThread(target=Event().wait).start()\n" + hook(preset())),
    faulty("meddles", "import os, pathlib, warnings\nos.environ['MF_BACKEND'] = 'x'\nos.chdir('/')\n"
           "pathlib.Path.home().joinpath('made').touch()\n" + hook("[TaskSpec(name='t', pipeline='a:B')]", "mf_tasks")),
    faulty("heavy", "import numpy\n" + hook("[TaskSpec(name='u', pipeline='a:B')]", "mf_tasks")),
    faulty("slow", "import slow_package\n" + hook("[TaskSpec(name='v', pipeline='a:B')]", "mf_tasks")),
    faulty("idle", ""),
)  # fmt: skip


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Wheelhouse) -> PluginEnvironment:
    environment = PluginEnvironment(tmp_path_factory.mktemp("sick"), wheelhouse)
    environment.install(HEALTHY, *SICK)
    (environment.site_packages / "slow_package.py").write_text("import time\ntime.sleep(0.4)\n")
    return environment


@pytest.fixture(scope="module")
def findings(sick: PluginEnvironment) -> Findings:
    return Findings(sick, MF_PLUGINS_TIMEOUT="12")  # enough for numpy on a busy machine


@pytest.mark.parametrize(
    "plugin, message, where",
    [
        ("deep", "JSONDecodeError", r"mf_deep/helper.py:3 in work: return json.loads\('\{'\)$"),
        ("hook", "NameError: name 'missing_name' is not defined", r"mf_hook/plugin.py:6 in mf_configs: return miss"),
        ("spec", "Preset.name='no name' is not a name", r"mf_spec/plugin.py:6 in mf_configs: return \[Config"),
        ("nothing", "mf_configs() returned NoneType, not a list", r"mf_nothing/plugin.py:4 in mf_configs$"),
        ("syntax", "SyntaxError: '(' was never closed", r"mf_syntax/plugin.py:4 in <module>: x = \(1,$"),
        ("needs", "No module named 'surely_not_there'", r"mf_needs/plugin.py:4 in <module>: import surely_not_there$"),
    ],
)
def test_failing_plugin_with_the_line_of_its_code(findings: Findings, plugin: str, message: str, where: str) -> None:
    finding = findings.of("plugin-failed", f"mf-{plugin}:")
    assert finding["level"] == "error"
    assert message in finding["message"]
    assert re.search(where, finding["where"])


def test_plugins_that_end_or_hold_up_the_process_are_named(findings: Findings) -> None:
    assert "it ended, with exit code 7" in findings.of("plugin-ends-process", "exits")["message"]
    assert "signal 9 ended the process" in findings.of("plugin-ends-process", "killed")["message"]
    assert "MF_PLUGINS_BLOCK=killed does without it" in findings.of("plugin-ends-process", "killed")["hint"]
    hangs = findings.of("plugin-hangs", "mf-hangs")
    assert "it took longer than 12 s" in hangs["message"]
    assert hangs["where"].endswith("mf_hangs/plugin.py:5 in <module>: threading.Event().wait()")


def test_slow_and_heavy_plugins(findings: Findings) -> None:
    message = findings.of("plugin-slow", "mf-slow")["message"]
    took, import_took = re.fullmatch(
        r"takes (\d+) ms to load, (\d+) of them to import slow_package; 100 are allowed", message
    ).groups()  # type: ignore[union-attr]
    assert int(took) >= 400
    assert int(import_took) >= 400
    assert [each["subject"] for each in findings.all if each["code"] in ("plugin-heavy", "plugin-slow")
            and "numpy" in each["message"]] == ["plugin mf-heavy:heavy"]  # fmt: skip


def test_what_plugins_do_to_the_process(findings: Findings, sick: PluginEnvironment) -> None:
    message = findings.of("plugin-meddles", "mf-meddles")["message"]
    for words in ("changed the working directory", "os.environ['MF_BACKEND']", f"writes {sick.home}/made"):
        assert words in message
    assert "the threads" in findings.of("plugin-meddles", "mf-threads")["message"]
    assert "offers nothing" in findings.of("plugin-empty")["message"]


def test_healthy_plugin_is_well(findings: Findings) -> None:
    mine = {each["code"]: each for each in findings.all if "mf-healthy" in each["subject"]}
    mine.pop("plugin-slow", None)  # on a machine that is too busy for this to be told
    assert list(mine) == ["plugin"]
    assert mine["plugin"]["message"].startswith("2.3.4, 2 specs in ")


def test_json_and_exit_code(findings: Findings) -> None:
    assert findings.code == 1
    assert all(list(each) == KEYS for each in findings.all)
    levels = [each["level"] for each in findings.all]
    assert levels == sorted(levels, key=["error", "warning", "ok"].index)


def test_output_is_short_and_the_worst_comes_first(sick: PluginEnvironment) -> None:
    variables = {"MF_PLUGINS": "healthy,hook,idle"}
    result = sick.mf("doctor", **variables)
    assert result.code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("error   ")
    kinds = [line[:8].strip() for line in lines if line[:8].strip()]
    assert kinds == sorted(kinds, key=["error", "warning", "ok"].index)
    assert kinds.count("ok") == 1
    (at,) = (n for n, line in enumerate(lines) if line.startswith("error   plugin mf-hook:hook: failed: NameError"))
    assert re.fullmatch(r"        at:  .*plugin.py:6 in mf_configs: return missing_name", lines[at + 1])
    assert lines[at + 2].startswith("        try: ")
    in_full = sick.mf("doctor", "--verbose", **variables).stdout
    assert in_full.count("\nok      ") > 2


# Conflicts and settings ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Wheelhouse) -> PluginEnvironment:
    """An environment in which everything else is well: MindSpore and a backend are there."""
    environment = PluginEnvironment(tmp_path_factory.mktemp("rivals"), wheelhouse)
    environment.borrow("mf-cpu-backend")
    environment.install(HEALTHY, ALPHA, BETA)
    return environment


def test_conflict_with_the_lines_that_settle_it(rivals: PluginEnvironment) -> None:
    findings = Findings(rivals)
    conflict = findings.of("conflict")
    assert (conflict["level"], findings.code) == ("warning", 0)
    assert "the preset 'shared_tiny'" in conflict["message"]
    assert "the class 'SharedConfig'" in conflict["message"]
    assert conflict["message"].endswith("are claimed by mf-alpha and mf-beta")
    line = re.match(r"export (MF_PREFER)=(\S+) ", conflict["hint"])
    assert not Findings(rivals, **{line[1]: line[2]}).has("conflict")  # type: ignore[index]
    assert "'mf-alpha:shared_tiny'" in conflict["hint"]
    hint = Findings(rivals, MF_PREFER="mf-other").of("conflict")["hint"]
    assert hint.startswith("export MF_PREFER=mf-other,mf-alpha ")


def test_one_distribution_that_claims_a_name_twice(environment: Callable[..., PluginEnvironment]) -> None:
    entry_points = {"mf_core.v1": {"a": "mf_twice.plugin", "b": "mf_twice.plugin"}}
    findings = Findings(environment(Plugin("mf-twice", hook(preset()), entry_points=entry_points)))
    assert findings.of("plugin-failed")["message"].startswith("its entry points claim the config 'x', the preset 'x'")
    assert not findings.has("conflict")


def test_strict_makes_warnings_count(rivals: PluginEnvironment) -> None:
    assert Findings(rivals, "--strict").code == 1
    assert Findings(rivals, "--strict", MF_PREFER="mf-alpha").code == 0


@pytest.mark.parametrize(
    "variable, value, level, message, hint",
    [
        ("MF_PLUGINS", "cpu,helthy", "warning", "MF_PLUGINS names 'helthy', but no installed", "did you mean 'healthy"),
        ("MF_PLUGINS_BLOCK", "mf-alpah", "warning", "MF_PLUGINS_BLOCK names 'mf-alpah'", "did you mean 'mf-alpha'"),
        ("MF_PREFER", "mf-alpa", "warning", "MF_PREFER names 'mf-alpa'", "did you mean 'mf-alpha'"),
        ("MF_PREFER", "mf-alpha:shard_tiny", "warning", "MF_PREFER names 'shard_tiny'", "did you mean 'shared_tiny'"),
        ("MF_BACKEND", "cpx", "error", "MF_BACKEND names 'cpx'", "did you mean 'cpu'"),
        ("MF_MODELS", "/nowhere", "warning", "MF_MODELS names '/nowhere', which is no folder", "mkdir /nowhere"),
        ("MF_PLUGIN", "x", "warning", "nothing reads MF_PLUGIN", "did you mean 'MF_PLUGINS'"),
        ("MF_QUITE_ANOTHER", "x", "warning", "nothing reads MF_QUITE_ANOTHER", "`mf env` lists"),
    ],
)
def test_settings_that_match_nothing(
    rivals: PluginEnvironment, variable: str, value: str, level: str, message: str, hint: str
) -> None:
    findings = Findings(rivals, **{variable: value})
    code = "setting-unknown" if message.startswith("nothing") else "setting-no-match"
    finding = findings.of(code)
    assert finding["level"] == level
    assert message in finding["message"]
    assert hint in finding["hint"]
    assert findings.code == int(level == "error")


# Installations and versions -----------------------------------------------------------------------------------------


def test_editable_installs_that_are_stale(environment: Callable[..., PluginEnvironment]) -> None:
    made = environment(HEALTHY)
    names = ("gone", "emptied", "risen", "renamed", "wired")
    source = {name: made.install_editable(family_plugin(f"mf-{name}", name, [f"{name}_tiny"])) for name in names}
    shutil.rmtree(source["gone"])
    shutil.rmtree(source["emptied"] / "src" / "mf_emptied")

    def rewrite(name: str, old: str, new: str) -> None:
        project = source[name] / "pyproject.toml"
        assert old in project.read_text()
        project.write_text(project.read_text().replace(old, new))

    rewrite("risen", 'version = "1.0"', 'version = "1.1"')
    rewrite("renamed", 'name = "mf-renamed"', 'name = "mf-other"')
    rewrite("wired", "wired = 'mf_wired.plugin'", "wired = 'mf_wired.hooks'")
    findings = Findings(made)
    stale = findings.of("plugin-stale")
    assert f"mf-gone is an editable install of {source['gone']}, which is gone" in stale["message"]
    assert "pip uninstall mf-gone" in stale["hint"]
    emptied = findings.of("plugin-failed", "mf-emptied")
    assert "No module named 'mf_emptied'" in emptied["message"]
    risen = findings.of("install-stale", "risen")
    assert risen["message"] == "its sources are 1.1, and 1.0 is what was installed"
    assert risen["hint"] == f"pip install --editable {source['risen']}"
    assert "holds mf-other now" in findings.of("install-stale", "renamed")["message"]
    assert "wired = mf_wired.hooks" in findings.of("install-stale", "wired")["message"]


def test_metadata_folders_that_are_not_what_they_seem(
    environment: Callable[..., PluginEnvironment], tmp_path: Path
) -> None:
    misnamed = Plugin("mf-misnamed", hook("[]"), entry_points={"mf-core.v1": {"misnamed": "mf_misnamed.plugin"}})
    left = Plugin("mf-left", hook("[]"))
    made = environment(HEALTHY, misnamed, left)
    (made.dist_info(left) / "METADATA").unlink()
    shutil.copytree(made.site_packages / "mf_healthy", tmp_path / "first" / "mf_healthy")
    shutil.copytree(made.dist_info(HEALTHY), tmp_path / "first" / "mf_healthy-2.3.4.dist-info")
    findings = Findings(made, PYTHONPATH=str(tmp_path / "first"))
    group = findings.of("install-group")
    assert "its entry points are in the group 'mf-core.v1', which nothing reads" in group["message"]
    assert '[project.entry-points."mf_core.v1"]' in group["hint"]
    assert str(made.dist_info(left)) in findings.of("install-leftover")["message"]
    double = findings.of("install-double")["message"]
    assert double.index(str(tmp_path / "first")) < double.index(str(made.site_packages))
    (made.home / "mf_healthy").mkdir()
    for file in (made.site_packages / "mf_healthy").glob("*.py"):
        shutil.copy(file, made.home / "mf_healthy")
    shadowed = Findings(made).of("plugin-shadowed")["message"]  # Python looks into the working directory first
    assert f"imported from {made.home}/mf_healthy/plugin.py, not from {made.site_packages}" in shadowed


def rewrite_metadata(environment: PluginEnvironment, plugin: Plugin, *lines: str) -> None:
    path = environment.dist_info(plugin) / "METADATA"
    first, rest = path.read_text().split("\n", 1)
    path.write_text("\n".join([first, *lines, rest]))


def test_versions_that_do_not_go_together(environment: Callable[..., PluginEnvironment]) -> None:
    future = Plugin("mf-future", hook("[]"), "7.1", entry_points={"mf_core.v2": {"future": "mf_future.plugin"}})
    ahead, lacking, elsewhere = (Plugin(f"mf-{name}", hook("[]")) for name in ("ahead", "lacking", "elsewhere"))
    made = environment(HEALTHY, future, ahead, lacking, elsewhere)
    rewrite_metadata(made, future, "Requires-Dist: mf-framework>=2,<3")
    rewrite_metadata(made, ahead, "Requires-Dist: mf-framework>=99", "Requires-Dist: pluggy<1")
    rewrite_metadata(made, lacking, "Requires-Dist: surely-not-there>=2", "Requires-Dist: nor-this; extra == 'x'")
    rewrite_metadata(made, elsewhere, "Requires-Python: >=3.30")
    for name, version in (("mindspore", "2.10.0"), ("numpy", "2.1.0")):  # metadata alone, as the doctor reads it
        for old in made.site_packages.glob(f"{name}-*"):
            old.unlink()
        (made.site_packages / f"{name}-{version}.dist-info").mkdir()
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (made.site_packages / f"{name}-{version}.dist-info" / "METADATA").write_text(text)
    findings = Findings(made)
    interface = findings.of("plugin-incompatible")
    assert "mf-future 7.1 is written for the plugin interface mf_core.v2; this core" in interface["message"]
    assert interface["hint"].endswith(" that has mf_core.v2 (mf-framework>=2,<3 is what it asks for)")
    by_subject: dict[str, list[dict[str, Any]]] = {}
    for finding in findings.all:
        if finding["code"].startswith("version-"):
            by_subject.setdefault(finding["subject"], []).append(finding)
    core, pluggy = sorted(by_subject["mf-ahead"], key=lambda finding: finding["level"])
    assert (core["level"], pluggy["level"]) == ("error", "warning")
    assert core["hint"].startswith("pip install 'mf-framework>=99', or a release of mf-ahead that is for ")
    assert "it requires pluggy<1, and" in pluggy["message"]
    (lack,) = by_subject["mf-lacking"]
    assert lack["message"] == "it requires surely-not-there>=2, which is not installed"
    assert "it is for Python >=3.30" in by_subject["mf-elsewhere"][0]["message"]
    (numpy,) = by_subject["numpy"]
    assert numpy["message"].startswith("2.1.0, but mindspore 2.10.0 needs <2: it is built for numpy 1.x")
    assert numpy["hint"] == "pip install 'numpy<2'"


# Backends, folders --------------------------------------------------------------------------------------------------

BACKENDS = Plugin(
    "mf-odd-backends",
    "NAMES = ('raising', 'ending', 'aged')\n"
    + hook("[BackendSpec(name=n, target=f'mf_odd_backends.{n}:Backend') for n in NAMES]", "mf_backends"),
    modules={
        "raising": "class Backend:\n    def probe(self):\n        raise ValueError('no probe')\n",
        "ending": "import os\nclass Backend:\n    def probe(self):\n        os._exit(3)\n",
        "aged": """
            from mf_core.backends.base import Probe
            from mf_core.backends.checks import Check
            class Backend:
                def probe(self):
                    driver = Check("driver", False, "1.0", ">=2", "install driver 2", required=False)
                    return Probe(True, device_count=2, checks=(driver,))
        """,
    },
)


def test_backends_that_fail_end_the_process_or_miss_a_driver(environment: Callable[..., PluginEnvironment]) -> None:
    findings = Findings(environment(BACKENDS))
    assert "ValueError: no probe" in findings.of("backend-failed", "raising")["message"]
    assert "exit code 3" in findings.of("backend-ends-process", "ending")["message"]
    aged = findings.of("backend-version", "aged")
    assert (aged["level"], aged["message"]) == ("warning", "driver: 1.0 (wanted: >=2)")
    assert aged["hint"] == "install driver 2"
    assert findings.of("backend", "aged")["message"] == "2 device(s)"


def test_folders_that_cannot_be_written(rivals: PluginEnvironment, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    findings = Findings(rivals, MF_CACHE=str(tmp_path / "file" / "cache"), HF_HOME=str(tmp_path / "hub"))
    finding = findings.of("cache-unwritable")
    assert (findings.code, finding["subject"]) == (1, "cache")
    assert f"{tmp_path / 'file'} is a file" in finding["message"]
    assert "MF_CACHE" in finding["hint"]
    assert str(tmp_path / "hub") in findings.of("cache", "hub cache")["message"]
    if os.access("/proc", os.W_OK):  # root may write everywhere but where no file system lets it
        return
    assert Findings(rivals, MF_CACHE="/proc/cache").of("cache-unwritable")["message"] == "/proc/cache cannot be written"


def test_little_disk_space(rivals: PluginEnvironment) -> None:
    code = """
        import collections, shutil, sys
        shutil.disk_usage = lambda path: collections.namedtuple("Usage", "free")(10**9)
        from mf_core.cli import main
        sys.exit(main(["doctor"]))
    """
    result = rivals.run(code)
    assert re.search(r"^warning cache: .*, 1\.0 GB free\n        try: free some space", result.stdout, re.MULTILINE)


def test_nothing_is_written_and_no_one_asked(environment: Callable[..., PluginEnvironment]) -> None:
    code = """
        import json, sys
        events = []
        sys.addaudithook(lambda event, args: events.append(event) if event.startswith("socket.") else None)
        from mf_core.cli import main
        main(["doctor", "--json"])
        print("\\n" + json.dumps(events))
    """
    made = environment(replace(HEALTHY))
    before = sorted(path for path in made.home.rglob("*"))
    result = made.run(code)
    assert json.loads(result.stdout.splitlines()[-1]) == []
    assert sorted(path for path in made.home.rglob("*")) == before
