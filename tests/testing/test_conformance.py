"""The conformance kit: a good plugin passes, and each of many single faults is caught by the check that is about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mf_core.testing import TaskContract

from ..support.conformance_mutants import MUTANTS
from ..support.conformance_plugins import LETTERS, TOY, Mutant, install
from ..support.plugin_environment import Plugin, PluginEnvironment, Wheelhouse

ROWS = ["abcd", "bcde", "cdef", "defg"] * 2

#: Contract -> what its test class says, given the suffix of the names.
SETTINGS = {
    "Plugin": "",
    "Config": 'model_type = "letters{0}"',
    "Model": 'model_type = "letters{0}"',
    "Tokenizer": 'model_type = "letters{0}"; source = "letters{0}_tiny"; texts = ("hello", "good day")',
    "Processor": 'model_type = "letters{0}"; source = "letters{0}_tiny"; inputs = ("hello", "good day")',
    "Task": f'task = "letters{{0}}_next"; model = MODEL.format("{{0}}"); inputs = ("abc", "zebra"); examples = {ROWS}',
    "Backend": 'backend = "toy{0}"',
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Wheelhouse) -> PluginEnvironment:
    """An environment with the good plugins and all mutants."""
    environment = PluginEnvironment(tmp_path_factory.mktemp("conformance"), wheelhouse)
    environment.borrow("mf-cpu-backend", "mindspore", "pytest", "hatchling")
    environment.install(LETTERS, TOY)
    for number, mutant in enumerate(MUTANTS.values()):
        install(environment, plugin_of(mutant), suffix_of(number), mutant)
    return environment


def plugin_of(mutant: Mutant) -> Plugin:
    return TOY if mutant.check.startswith("Backend") else LETTERS


def suffix_of(number: int) -> str:
    return f"x{number:02d}"


def write_classes(folder: Path, wanted: dict[str, str]) -> Path:
    """Write a test file with a class for each ``name -> "Contract:suffix"``; the models that tasks run are in it."""
    lines = ["import mf_core.testing as kit", "from pathlib import Path", f"MODEL = '{folder}/model{{}}'"]
    for name, value in wanted.items():
        contract, _, suffix = value.partition(":")
        stem = "toy" if contract == "Backend" else "letters"
        lines += [f"class Test{name}(kit.{contract}Contract):", f'    distribution = "mf-{stem}{suffix}"']
        lines += [f"    {SETTINGS[contract].replace('{0}', suffix)}" if SETTINGS[contract] else "    pass"]
    file = folder / "test_written.py"
    file.write_text("\n".join(lines))
    return file


#: Saves models, runs checks, and prints the outcome of each: ``[class, check, outcome, words]``.
RUN = """
import importlib.util, json, shutil, sys
from pathlib import Path
import pytest
from mf_core import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from mf_core.testing.reporting import ResultRecorder
file, suffixes, ids = json.loads(sys.argv[1])
for suffix in suffixes:
    folder = f"{Path(file).parent}/model{suffix}"
    config = AutoConfig.from_pretrained(f"letters{suffix}_tiny", hidden_size=16)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    (package,) = importlib.util.find_spec(f"mf_letters{suffix}").submodule_search_locations
    shutil.copy(f"{folder}/model.safetensors", f"{package}/data")
    AutoTokenizer.from_pretrained(f"letters{suffix}_tiny").save_pretrained(folder)
report = Path(file).with_suffix(".jsonl")
options = ["-q", "--tb=no", "-p", "no:cacheprovider", "--import-mode=importlib"]
pytest.main([*options, *(f"{file}::{name}" for name in ids)], plugins=[ResultRecorder(report, set())])
ends = [event for event in map(json.loads, report.read_text().splitlines()) if event["event"] == "end"]
print(json.dumps([[*event["id"].split("::")[1:], event["outcome"], event["what"]] for event in ends]))
"""


def run(made: PluginEnvironment, file: Path, suffixes: list[str], ids: list[str]) -> list[tuple[str, str, str, str]]:
    done = made.call(["-W", "ignore", "-c", RUN, json.dumps([str(file), suffixes, ids])], {}, timeout=1800)
    assert done.code == 0, done.stderr
    return [tuple(row) for row in json.loads(done.stdout.splitlines()[-1])]


@pytest.fixture(scope="module")
def caught(made: PluginEnvironment) -> dict[str, tuple[str, str]]:
    """Run, for each mutant, the check that is about its fault; return the outcome."""
    wanted, ids, suffixes = {}, [], []
    for number, (name, mutant) in enumerate(MUTANTS.items()):
        contract, _, check = mutant.check.partition(".")
        cls = name.title().replace("-", "")
        wanted[cls] = f"{contract}:{suffix_of(number)}"
        ids.append(f"Test{cls}::{check}")
        suffixes += [suffix_of(number)] if contract == "Task" or "shipped" in check else []
    folder = made.home / "mutants"
    folder.mkdir()
    found = {row[0]: row[2:] for row in run(made, write_classes(folder, wanted), suffixes, ids)}
    return {name: found.get(f"Test{name.title().replace('-', '')}", ("not run", "")) for name in MUTANTS}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_single_fault_is_caught_by_the_check_that_is_about_it(caught: dict[str, tuple[str, str]], name: str) -> None:
    outcome, what = caught[name]
    assert outcome == "failed", MUTANTS[name]
    assert MUTANTS[name].words in what


def test_good_plugins_pass_every_check(made: PluginEnvironment) -> None:
    folder = made.home / "good"
    folder.mkdir()
    contracts = [name for name in SETTINGS if name != "Config"]  # a model's contract has the config's checks
    file = write_classes(folder, {name: f"{name}:" for name in contracts})
    rows = run(made, file, [""], [f"Test{name}" for name in contracts])
    left_out = [row[1:] for row in rows if row[2] != "passed" and "the head 'seq2seq_lm'" not in row[3]]
    assert left_out == [
        ("test_heads_may_be_wider_than_their_share", "skipped", "the config has no head_dim, num_heads and hidden_size")
    ]
    checks = {row[1] for row in rows}
    assert {mutant.check.partition(".")[2] for mutant in MUTANTS.values()} <= checks
    assert len(checks) > 60


# The command --------------------------------------------------------------------------------------------------------


def test_command_reports_what_passed(made: PluginEnvironment) -> None:
    before = {path for path in made.home.iterdir() if path.suffix != ".log"}
    done = made.mf("plugins", "check", "mf_toy", "-k", "probe or loads")
    assert done.code == 0, done.stdout + done.stderr
    assert "the plugin of mf-toy" in done.stdout
    assert "the backend toy" in done.stdout
    assert "passed   probe needs no mindspore" in done.stdout
    assert done.stdout.endswith("4 passed, 0 failed, 0 skipped\n")
    assert {path for path in made.home.iterdir() if path.suffix != ".log"} == before  # a mutant writes one at import


def suffix_by_name(name: str) -> str:
    return suffix_of(list(MUTANTS).index(name))


def test_command_says_what_failed_why_it_matters_and_what_to_do(made: PluginEnvironment) -> None:
    distribution = f"mf-letters{suffix_by_name('heavy')}"
    done = made.mf("plugins", "check", distribution, "-k", "entry_module")
    assert done.code == 1
    failed = done.stdout.index("FAILED   entry module brings nothing heavy")
    text = done.stdout[failed : failed + 700]
    assert f"importing mf_letters{suffix_by_name('heavy')}.plugin also imports numpy" in text
    assert "why it matters: Listing what is installed imports every plugin's entry module" in text
    assert "try: name targets as strings" in text
    data = json.loads(made.mf("plugins", "check", distribution, "-k", "heavy or loads", "--json").stdout)
    assert (data["passed"], data["failed"], data["skipped"]) == (1, 1, 0)
    checks = {check["check"]: check for contract in data["contracts"] for check in contract["checks"]}
    assert checks["entry module brings nothing heavy"]["outcome"] == "failed"
    assert "numpy" in checks["entry module brings nothing heavy"]["what"]
    assert data["distribution"] == distribution


def test_command_checks_all_that_a_plugin_offers_with_its_own_settings(made: PluginEnvironment) -> None:
    done = made.mf("plugins", "check", "mf-letters", "--json", "-k", "config_ or texts or processor or alias")
    data = json.loads(done.stdout)
    assert done.code == 0, done.stdout
    subjects = {contract["subject"] for contract in data["contracts"]}
    model = "the model of letters with the head causal_lm, and vocab_size="
    assert any(subject.startswith(model) for subject in subjects)
    assert any(subject.startswith("the tokenizer of letters") for subject in subjects)
    assert any(subject.startswith("the processor of letters") for subject in subjects)
    assert any(subject.startswith("the task letters_next") for subject in subjects)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mf-lettesr",), ["no plugin of a distribution 'mf-lettesr' is installed", "mf-letters", "pip install"]),
        (("mf-toy", "-k", "nonsense"), ["no check of mf-toy has 'nonsense' in its name"]),
        (("mf-toy", "--timeout", "0"), ["--timeout", "is not more than 0"]),
    ],
)
def test_command_refuses(made: PluginEnvironment, arguments: tuple[str, ...], words: list[str]) -> None:
    done = made.mf("plugins", "check", *arguments)
    assert done.code == 2
    for word in words:
        assert word in done.stderr


def test_command_survives_a_plugin_that_takes_the_process_down_or_holds_it_up(environment: Any) -> None:
    made = environment()
    made.borrow("pytest")
    for name, code in (("mf-deadly", "import os; os._exit(7)"), ("mf-endless", "import time; time.sleep(600)")):
        package = name.replace("-", "_")
        body = f"""
            @hookimpl
            def mf_configs():
                return [ConfigSpec(model_type="{package}", target="{package}.config:Config")]
        """
        made.install(Plugin(name, body, modules={"config": code}))
    deadly = made.mf("plugins", "check", "mf-deadly", "-k", "targets_can or wheel")
    assert deadly.code == 1
    assert "FAILED   targets can be imported" in deadly.stdout
    assert "did not end: the process ended with code 7" in deadly.stdout
    assert "was not run: the process ended with code 7" in deadly.stdout
    endless = made.mf("plugins", "check", "mf-endless", "-k", "targets_can", "--timeout", "5")
    assert endless.code == 1
    assert "did not end: it was given up after 5 s" in endless.stdout


def test_pytest_is_asked_for_where_it_is_missing(environment: Any) -> None:
    bare = environment(TOY)
    done = bare.mf("plugins", "check", "mf-toy")
    assert done.code == 2
    assert "pip install 'mf-framework[testing]'" in done.stderr
    assert "pip install 'mf-framework[testing]'" in bare.run("from mf_core.testing import ModelContract").stderr
    light = "import sys, mf_core.testing; print(sorted({'pytest', 'numpy', 'mindspore'} & set(sys.modules)))"
    assert bare.run(light).stdout == "[]\n"


# Wheels -------------------------------------------------------------------------------------------------------------


def test_editable_install_is_checked_by_the_wheel_that_its_sources_build(environment: Any) -> None:
    made = environment()
    made.borrow("pytest")
    body = """
        @hookimpl
        def mf_configs():
            preset = Preset(name="x_tiny", weights="package:mf_x/data")
            return [ConfigSpec(model_type="x", target="mf_x.config:X", presets=(preset,))]
    """
    source = made.install_editable(Plugin("mf-x", body, modules={"config": "", "data/__init__": ""}))
    check = ("plugins", "check", "mf-x", "-k", "wheel")
    assert made.mf(*check).stdout.endswith("2 passed, 0 failed, 0 skipped\n")
    project = source / "pyproject.toml"
    project.write_text(project.read_text().replace("[tool.hatch.build]", '[tool.hatch.build]\nexclude = ["data"]'))
    done = made.mf(*check)
    assert done.code == 1
    assert "the wheel has no files for 'package:mf_x/data'" in done.stdout


# Fixtures -----------------------------------------------------------------------------------------------------------

ORDINARY = """
import sys
import pytest

def test_nothing_of_the_kit_is_there(request):
    assert not [name for name in sys.modules if name.startswith("mf_core")]
    with pytest.raises(pytest.FixtureLookupError):
        request.getfixturevalue("plugin_env")
"""

ASKED = """
import pytest
from mf_core import AutoConfig
from mf_core.errors import ConflictError, NotRegisteredError
from mf_core.plugins.registry import registry
from mf_core.specs import ConfigSpec, Preset
from mf_core.testing import Plugin

PRESETS = (Preset(name="passing_tiny"),)
SPEC = ConfigSpec(model_type="passing", target="mf_letters.config:LettersConfig", presets=PRESETS)

BODY = '''
    @hookimpl
    def mf_configs():
        return [ConfigSpec(model_type="x", target="mf_x.config:X", presets=(Preset(name="x_tiny"),))]
'''

def test_plugin_is_there(temporary_plugin):
    temporary_plugin(SPEC, distribution="mf-passing")
    assert registry.find("config", "passing").owner == "mf-passing"
    assert AutoConfig.from_pretrained("letters_tiny").hidden_size == 16

def test_plugin_is_gone():
    with pytest.raises(NotRegisteredError):
        registry.find("config", "passing")

def test_conflict(temporary_plugin):
    def mf_configs():
        return [ConfigSpec(model_type="letters", target="mf_letters.config:LettersConfig")]

    temporary_plugin(mf_configs, distribution="rival")
    with pytest.raises(ConflictError):
        registry.find("config", "letters")

def test_twice(temporary_plugin):
    with pytest.raises(ValueError, match="twice"):
        temporary_plugin(SPEC, SPEC)

def test_environment(plugin_env, tmp_path):
    project = Plugin("mf-x", BODY).write(tmp_path / "project")
    assert "x_tiny" in plugin_env(project).mf("models").stdout
    assert "x_tiny" not in plugin_env().mf("models").stdout
"""


def test_fixtures_are_for_those_who_ask(made: PluginEnvironment, tmp_path: Path) -> None:
    plain, asking = tmp_path / "plain", tmp_path / "asking"
    for folder, text in ((plain, ORDINARY), (asking, ASKED)):
        folder.mkdir()
        (folder / "test_it.py").write_text(text)
    (asking / "conftest.py").write_text('pytest_plugins = ["mf_core.testing.fixtures"]\n')
    for folder, passed in ((plain, "1 passed"), (asking, "5 passed")):
        options = ("-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", f"--rootdir={folder}", str(folder))
        done = made.call(options, {})
        assert done.code == 0, done.stdout
        assert passed in done.stdout


# The core's own task ------------------------------------------------------------------------------------------------


class TestTextGeneration(TaskContract):
    distribution = "mf-framework"
    task = "text_generation"
    model = "gpt2_tiny"
    inputs = ("Once upon a time", "The")
    options = {"max_new_tokens": 4}
    test_recipe_trains = None  # the tests of the trainer do little else
    test_targets_change_nothing = None  # what its targets import is imported before any plugin's
