"""What importing costs and touches, which names there are, and who may import whom."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from .support.plugin_environment import HEALTHY, Plugin, PluginEnvironment, Wheelhouse
from .support.type_checks import run_mypy

ROOT = Path(__file__).parent.parent
#: What takes long to import, or needs what not everybody has.
HEAVY = {
    "huggingface_hub", "mindspore", "numpy", "pooch", "pydantic", "safetensors", "tokenizers", "torch", "tqdm",
    "transformers", "yaml",
}  # fmt: skip
#: Prints which packages are in memory after the code before it.
MODULES = "\nimport json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


@pytest.fixture
def healthy(environment: Callable[..., PluginEnvironment]) -> PluginEnvironment:
    return environment(HEALTHY)


def packages_after(environment: PluginEnvironment, code: str) -> set[str]:
    result = environment.run(code + MODULES)
    assert result.code == 0, result.stderr
    assert result.stderr == ""
    return set(json.loads(result.stdout.splitlines()[-1]))


# Cost ---------------------------------------------------------------------------------------------------------------


def test_import_brings_nothing_but_the_standard_library(healthy: PluginEnvironment) -> None:
    packages = packages_after(healthy, "import mf_core; mf_core.__all__; mf_core.__doc__")
    assert packages - packages_after(healthy, "pass") - set(sys.stdlib_module_names) == {"mf_core"}


@pytest.mark.parametrize(
    "code",
    [
        "from mf_core import AutoConfig\nassert AutoConfig.get_support_list() == {'healthy': ['healthy_tiny']}",
        "from mf_core import AutoModel\nassert AutoModel.get_support_list() == {'healthy': ['healthy_tiny']}",
        "from mf_core import AutoTokenizer, AutoProcessor\nAutoTokenizer.show_support_list()",
        "import mf_core\nassert 'HealthyModel' in dir(mf_core)",
        "import mf_core\nassert not hasattr(mf_core, 'Nonsense')",
        "from mf_core.cli import main\nassert main(['models']) == 0",
        "from mf_core.cli import main\nassert main(['plugins', '--verbose']) == 0",
    ],
)
def test_listing_imports_nothing_heavy(healthy: PluginEnvironment, code: str) -> None:
    packages = packages_after(healthy, code)
    assert "mf_healthy" in packages
    assert not packages & HEAVY


def test_submodules_and_dunders_start_no_scan(healthy: PluginEnvironment) -> None:
    code = "import mf_core\nassert not hasattr(mf_core, 'nonsense')\nassert not hasattr(mf_core, '__nonsense__')"
    assert not packages_after(healthy, code) & {"mf_healthy", "pluggy", "importlib_metadata"}


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory, wheelhouse: Wheelhouse) -> PluginEnvironment:
    """An environment with the GPT-2 and CPU plugins that the tests run with, and MindSpore."""
    environment = PluginEnvironment(tmp_path_factory.mktemp("gpt2"), wheelhouse)
    environment.borrow("mf-gpt2", "mf-cpu-backend")
    return environment


@pytest.mark.parametrize(
    "code",
    [
        "from mf_core import AutoTokenizer\n"
        "tokenizer = AutoTokenizer.from_pretrained('gpt2')\n"
        "assert 'Hello world' in tokenizer.decode(tokenizer('Hello world')['input_ids'])",
        "from mf_core import AutoConfig\nassert AutoConfig.from_pretrained('gpt2').model_type == 'gpt2'",
        "from mf_core import GPT2Config\nassert GPT2Config(num_layers=2).num_layers == 2",
        "from mf_core import GPT2Tokenizer, AutoProcessor\nAutoProcessor.from_pretrained('gpt2')",
    ],
)
@pytest.mark.skipif(importlib.util.find_spec("mindspore") is None, reason="mindspore is not installed")
def test_mindspore_is_not_imported(gpt2: PluginEnvironment, code: str) -> None:
    packages = packages_after(gpt2, code)
    assert "mf_gpt2" in packages
    assert not packages & {"mindspore", "torch", "transformers"}


def test_doctor_leaves_plugins_to_separate_processes(gpt2: PluginEnvironment) -> None:
    packages = packages_after(gpt2, "from mf_core.cli import main\nassert main(['doctor']) in (0, 1)")
    assert not packages & {"mf_gpt2", "mf_cpu_backend", "mindspore", "torch", "transformers"}


#: Prints what the code between changed in the process's environment, and each file that was opened for writing, made,
#: moved or deleted.
WATCH = """
import json, os, sys
before, events = dict(os.environ), []

def watch(event, arguments):
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & writes:
        events.append(str(arguments[0]))
    if event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link", "socket.connect"):
        events.append(f"{{event}} {{arguments}}")

sys.addaudithook(watch)
{code}
print(json.dumps([before == dict(os.environ), events]))
"""


@pytest.mark.parametrize(
    "code", ["import mf_core", "import mf_core; mf_core.AutoConfig.get_support_list(); dir(mf_core)"]
)
def test_import_and_listing_leave_no_trace(healthy: PluginEnvironment, code: str) -> None:
    result = healthy.run(WATCH.format(code=code), "-B", MF_CACHE=str(healthy.home / "cache"))
    assert result.json == [True, []]
    assert list(healthy.home.iterdir()) == []


# Names --------------------------------------------------------------------------------------------------------------


def test_class_of_a_plugin_is_importable_from_the_core(gpt2: PluginEnvironment) -> None:
    code = """
        import mf_core, mf_gpt2.config
        from mf_core import GPT2Config
        assert GPT2Config is mf_gpt2.config.GPT2Config
        names = dir(mf_core)
        assert {"GPT2LMHeadModel", "GPT2Config", "AutoModel", "pipeline"} <= set(names)
        assert names == sorted(set(names))
        assert not hasattr(mf_core, "Nonsense")
        assert getattr(mf_core, "Nonsense", None) is None
    """
    result = gpt2.run(code)
    assert (result.code, result.stderr) == (0, "")


def test_public_names_are_there_and_few_need_mindspore(gpt2: PluginEnvironment) -> None:
    code = """
        import sys, mf_core
        need_it = {"PretrainedModel", "Trainer", "TrainingRecipe", "TrainResult", "EvalPrediction", "add_lora",
                   "load_adapter", "merge_lora", "save_adapter"}
        for name in set(mf_core.__all__) - need_it:
            assert getattr(mf_core, name) is not None
        assert "mindspore" not in sys.modules
    """
    result = gpt2.run(code)
    assert (result.code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "name, expected",
    [
        ("PanguAlphaHeadModel", ["the class 'PanguAlphaHeadModel' is not installed", "pip install mf-pangualpha"]),
        ("GPT2LMHeadModel", ["the class 'GPT2LMHeadModel' is not installed", "pip install mf-gpt2"]),
    ],
)
def test_class_of_a_plugin_that_is_not_installed(healthy: PluginEnvironment, name: str, expected: list[str]) -> None:
    result = healthy.run(f"try:\n    from mf_core import {name}\nexcept ImportError as error:\n    print(error)")
    assert result.code == 0, result.stderr
    for words in expected:
        assert words in result.stdout


def test_unknown_name(healthy: PluginEnvironment) -> None:
    attribute = healthy.run("import mf_core; mf_core.AutoModle")
    assert attribute.stderr.splitlines()[-1].startswith("AttributeError: ")
    assert "'AutoModle'" in attribute.stderr
    assert "did you mean 'AutoModel'" in attribute.stderr
    statement = healthy.run("from mf_core import HealthyModle")
    assert statement.stderr.splitlines()[-1].startswith("ImportError: ")
    assert "HealthyModle" in statement.stderr


def test_names_of_mindformers_say_what_to_write(healthy: PluginEnvironment) -> None:
    from mf_core.mindformers_names import INSTEAD

    code = f"""
        import mf_core
        from mf_core.errors import OtherNameError
        for name in {sorted(INSTEAD)}:
            try:
                exec(f"from mf_core import {{name}}")
            except ImportError as error:
                assert isinstance(error, OtherNameError) and error.hint, name
            else:
                raise AssertionError(name)
    """
    result = healthy.run(code)
    assert (result.code, result.stderr) == (0, "")
    said = healthy.run("from mf_core import TextStreamer").stderr
    assert "TextStreamer is a name of MindFormers" in said and "stream=True" in said


def test_class_whose_plugin_failed(environment: Callable[..., PluginEnvironment]) -> None:
    made = environment(HEALTHY, Plugin("mf-gpt2", "raise ValueError('no luck')"))
    result = made.run("from mf_core import GPT2Config")
    assert "PluginError" in result.stderr.splitlines()[-3]
    assert "'GPT2Config' belongs to mf-gpt2, which is installed but not loaded" in result.stderr
    assert "why: ValueError: no luck" in result.stderr


# Types --------------------------------------------------------------------------------------------------------------


#: Two scripts that are checked together: reading the core's types is what takes long.
SCRIPTS = {
    "good.py": "from mf_core import AutoModel, GPT2LMHeadModel\n"
    "print(AutoModel.from_pretrained('gpt2_tiny'), GPT2LMHeadModel)\n",
    "bad.py": "from mf_core import AutoModel\nAutoModel.from_pretrained(5)\n",
}


def test_types_of_scripts(tmp_path: Path, mypy_cache: Path) -> None:
    for name, code in SCRIPTS.items():
        (tmp_path / name).write_text(code)
    found = run_mypy("--strict", *SCRIPTS, cwd=tmp_path, cache=mypy_cache)
    assert found.returncode == 1
    (error,) = (line for line in found.stdout.splitlines() if ": error: " in line)
    assert error.startswith("bad.py:2: ")
    assert '"from_pretrained" of "AutoModel" has incompatible type "int"' in error


# Who imports whom ---------------------------------------------------------------------------------------------------

CORE = ROOT / "mf_core"
PLUGINS = {path.name: path for path in sorted(ROOT.glob("plugins/*/src/*")) if path.is_dir()}
#: The core's layers, lowest first: a file or folder of `mf_core/`, each in one layer.
LAYERS = (
    {"boundary", "errors", "specs", "hookspecs", "mindformers_names"},
    {"utils", "plugins", "hub"},
    {"backends", "context"},
    {"nn", "parallel", "optim"},
    {"checkpoint"},
    {"config", "tokenization", "processing", "lora"},
    {"generation"},
    {"models"},
    {"planner", "data", "conversion"},
    {"auto", "pipelines", "trainer", "tasks"},
    {"cli", "diagnosis", "testing", "template"},
)  # fmt: skip
#: Imports inside functions that point up, and why each may: (importing module, imported module).
EXCEPTIONS: dict[tuple[str, str], str] = {}


def imports(file: Path, package: str, *, top: bool = False, types: bool = True) -> Iterator[str]:
    """Yield what a file of a package imports, as absolute dotted names.

    ``top`` leaves out imports inside functions and classes, ``types`` false those for type checkers alone.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    if not types:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                node.body = [ast.Pass()]
    folder = file.relative_to(ROOT).parts[:-1]
    parents = list(folder[folder.index(package) :])
    for node in tree.body if top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*start, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def private_uses(file: Path, package: str) -> Iterator[str]:
    """Yield the private names of the core that a file imports, or reads as attributes of what it imports."""

    def is_private(name: str) -> bool:
        return name.startswith("_") and not name.endswith("__")

    core = {name for name in imports(file, package) if name.partition(".")[0] == "mf_core"}
    yield from (name for name in core if any(map(is_private, name.split("."))))
    imported = {name.rpartition(".")[2] for name in core} | {"mf_core"}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            root = ast.unparse(node.value).partition(".")[0]
            if root in imported:
                yield ast.unparse(node)


def test_there_are_plugins() -> None:
    assert {"mf_gpt2", "mf_cpu_backend"} <= set(PLUGINS)


@pytest.mark.parametrize("package", PLUGINS)
def test_plugin_imports_no_other_plugin_and_nothing_private(package: str) -> None:
    others = set(PLUGINS) - {package}
    for file in PLUGINS[package].rglob("*.py"):
        assert not {name for name in imports(file, package) if name.partition(".")[0] in others}, file
        assert list(private_uses(file, package)) == [], file


@pytest.mark.parametrize("package", PLUGINS)
def test_entry_module_of_a_plugin_imports_hooks_and_specs_only(package: str) -> None:
    allowed = ("mf_core.hookspecs.", "mf_core.specs.", "__future__.")
    assert not [name for name in imports(PLUGINS[package] / "plugin.py", package) if not name.startswith(allowed)]


def test_core_imports_no_plugin() -> None:
    for file in CORE.rglob("*.py"):
        assert not {name for name in imports(file, "mf_core") if name.partition(".")[0] in PLUGINS}, file


def layer(module: str) -> int:
    return next(height for height, modules in enumerate(LAYERS) if module in modules)


def test_each_part_of_the_core_is_in_one_layer() -> None:
    parts = {path.name.removesuffix(".py") for path in CORE.iterdir()} - {"__init__", "__pycache__", "py.typed"}
    listed = [part for layer in LAYERS for part in layer]
    assert sorted(listed) == sorted(parts)


@pytest.mark.parametrize(
    ("page", "row"),
    [
        ("docs/assets/architecture.svg", r'class="a-t" x="58"[^>]*>([^<]*)<'),
        ("docs/explanation/architecture.md", r"^\| [^|]* \| ((?:`\w+`(?:, )?)+) \|"),
        ("CONTRIBUTING.md", r"^(\w+(?: · \w+)*)  +\w"),
    ],
)
def test_drawings_of_the_layers_are_in_their_order(page: str, row: str) -> None:
    rows = [re.findall(r"\w+", found) for found in re.findall(row, (ROOT / page).read_text("utf-8"), re.MULTILINE)]
    assert len(rows) > 6
    heights = [[layer(part) for part in parts] for parts in rows]
    assert all(min(upper) >= max(lower) for upper, lower in pairwise(heights)), rows


def test_imports_point_down() -> None:
    """Imports anywhere in a file count, also inside functions; those for type checkers alone do not run and do not."""
    upward = set()
    for file in CORE.rglob("*.py"):
        part = file.relative_to(CORE).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        for name in imports(file, "mf_core", types=False):
            parts = name.split(".")
            if parts[0] == "mf_core" and len(parts) > 1 and parts[1] != "__version__" and layer(parts[1]) > layer(part):
                upward.add((".".join(file.relative_to(CORE).with_suffix("").parts), ".".join(parts[1:3])))
    assert sorted(upward - EXCEPTIONS.keys()) == []
    assert sorted(EXCEPTIONS.keys() - upward) == []
    assert len(EXCEPTIONS) <= 5


def test_lowest_layers_need_two_packages_only() -> None:
    allowed = {"mf_core", "importlib_metadata", "pluggy", *sys.stdlib_module_names}
    files = [CORE / "errors.py", CORE / "specs.py", CORE / "hookspecs.py", *CORE.glob("plugins/*.py")]
    for file in files:
        assert {name.partition(".")[0] for name in imports(file, "mf_core", top=True)} <= allowed
