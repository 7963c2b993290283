"""What is public changes only with a fragment of the changelog that says so, and goes only after a warning."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

griffe = pytest.importorskip("griffe")

from .support import api_snapshot  # noqa: E402
from .support.api_snapshot import PUBLIC, ROOT, SNAPSHOT, Change, changes, current, fragments, report, unreported  # noqa: E402


@pytest.fixture(scope="module")
def now() -> dict[str, str]:
    return current()


@pytest.fixture(scope="module")
def released() -> dict[str, str]:
    return json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_what_is_public_changes_only_with_a_fragment(now: dict[str, str], released: dict[str, str]) -> None:
    missing = unreported(changes(released, now), fragments())
    assert not missing, report(missing)


def test_everything_that_can_be_had_from_the_core_is_watched(now: dict[str, str]) -> None:
    import mf_core
    import mf_core.testing

    assert {f"mf_core.{name}" for name in mf_core.__all__} <= set(now)
    assert {f"mf_core.testing.{name}" for name in mf_core.testing.__all__} <= set(now)
    assert now["mf_core.specs.TokenizerSpec.target"] == "attribute str"  # inherited from a class that is not public
    assert "revision: str | None = None" in now["mf_core.AutoModel.from_pretrained"]


def test_page_lists_the_public_modules() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `(mf_core[\w.]*)` \|", page, re.MULTILINE)) == PUBLIC


def imported_names(folder: Path) -> Iterator[tuple[Path, str]]:
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("mf_core"):
                yield from ((file, f"{node.module}.{alias.name}") for alias in node.names)


def test_plugins_and_examples_are_written_to_what_is_public(now: dict[str, str]) -> None:
    plugin_names = {"mf_core.GPT2Config", "mf_core.GPT2LMHeadModel"}  # of plugins, not of the core
    folders = [path for pattern in ("plugins/*/src", "examples/*/src") for path in ROOT.glob(pattern)]
    used = {found for folder in folders for found in imported_names(folder) if found[1] not in plugin_names}
    assert len(used) > 40
    private = {f"{file.relative_to(ROOT)}: {name}" for file, name in used if name not in now and name not in PUBLIC}
    assert private == set()


# The test itself ----------------------------------------------------------------------------------------------------

#: File -> (what it holds, what it is to hold) -> the change that is to be seen, and whether it breaks what used it.
EDITS: dict[str, list[tuple[str, str]]] = {
    "specs.py": [
        ("    priority: int = 0\n", ""),
        ("    converter: str | None = None\n", "    converter: str | None\n"),
    ],
    "hookspecs.py": [("def mf_tasks()", "def mf_jobs()")],
    "errors.py": [
        ("class TargetError(MFError, ImportError)", "class TargetError(MFError)"),
        ("class NotInstalledError", "class NotThereError"),
        ("def close_names(name: str, known: Iterable[str], limit: int = 3)",
         "def close_names(name: str, known: Iterable[str], limit: int = 4)"),
        ("def did_you_mean(name: str, known: Iterable[str])", "def did_you_mean(word: str, known: Iterable[str])"),
        ("def check_options(given: Iterable[str], known: Iterable[str], whose: str, noun",
         "def check_options(given: Iterable[str], whose: str, known: Iterable[str], noun"),
    ],
    "backends/checks.py": [
        ("def numbers(version: str)", "def numbers(version: str, most: int)"),
        ("remedy: str, *, required: bool = True", "remedy: str, *, colour: str = '', required: bool = True"),
        ("def first_missing(", "def first_lacking("),
    ],
    "backends/__init__.py": [("first_missing", "first_lacking")],
    "utils/seed.py": [("def set_seed(", "def set_no_seed(")],
}  # fmt: skip
EXPECTED = {
    "mf_core.specs.BackendSpec.__init__": ("has no parameter priority any more", True),
    "mf_core.specs.BackendSpec.priority": ("is gone", True),
    "mf_core.specs.ModelSpec.__init__": ("cannot do without converter any more", True),
    "mf_core.hookspecs.mf_tasks": ("is gone", True),
    "mf_core.hookspecs.mf_jobs": ("is new", False),
    "mf_core.errors.TargetError": ("no longer inherits from ImportError", True),
    "mf_core.errors.NotInstalledError": ("is gone", True),
    "mf_core.errors.NotThereError": ("is new", False),
    "mf_core.errors.close_names": ("has another default for limit", False),
    "mf_core.errors.did_you_mean": ("has no parameter name any more", True),
    "mf_core.errors.check_options": ("takes known at another position", True),
    "mf_core.backends.numbers": ("cannot do without the new parameter most", True),
    "mf_core.backends.check_package": ("has the new parameter colour", False),
    "mf_core.backends.first_missing": ("is gone", True),
    "mf_core.backends.first_lacking": ("is new", False),
    "mf_core.set_seed": ("is declared otherwise", True),
}


@pytest.fixture(scope="module")
def found(now: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Change]:
    """Return the changes that are seen in sources with the edits."""
    folder = tmp_path_factory.mktemp("changed")
    shutil.copytree(ROOT / "mf_core", folder / "mf_core", ignore=shutil.ignore_patterns("__pycache__"))
    for file, edits in EDITS.items():
        text = (folder / "mf_core" / file).read_text(encoding="utf-8")
        for old, new in edits:
            assert old in text, (file, old)
            text = text.replace(old, new)
        (folder / "mf_core" / file).write_text(text, encoding="utf-8")
    return {change.name: change for change in changes(now, current(folder))}


@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "mf_core.set_seed"])
def test_change_is_seen_and_judged(found: dict[str, Change], name: str) -> None:
    what, breaks = EXPECTED[name]
    assert found[name].what.startswith(what)
    assert found[name].breaks is breaks


def test_nothing_else_is_taken_for_a_change(found: dict[str, Change]) -> None:
    others = set(found) - set(EXPECTED)
    assert others - {"mf_core.specs.ModelSpec.converter"} == set()
    assert found["mf_core.set_seed"].breaks  # its module has it no more


def test_report_says_what_to_write(found: dict[str, Change]) -> None:
    text = report(found.values())
    for words in (
        "  mf_core.hookspecs.mf_tasks: is gone (breaks what used it)\n    write changelog.d/<topic>.removed.md or ",
        "which names `hookspecs.mf_tasks`\n    plugins are written to this: it takes a new interface, mf_core.v2",
        "`errors.NotThereError`",
    ):
        assert words in text
    assert "with mf_core.utils.deprecation" in text


@pytest.mark.parametrize(
    "file, text, named",
    [
        ("x.removed.md", "`NotInstalledError` is gone.", True),
        ("x.changed.md", "`mf_core.errors.NotInstalledError` is called otherwise.", True),
        ("x.added.md", "`NotInstalledError` is gone.", False),  # what breaks is not hidden among what is new
        ("x.removed.md", "NotInstalledError is gone.", False),
        ("x.removed.md", "`NotInstalledErrors` are gone.", False),
    ],
)
def test_which_fragments_count(found: dict[str, Change], file: str, text: str, named: bool) -> None:
    change = found["mf_core.errors.NotInstalledError"]
    assert (unreported([change], {file: text}) == []) is named
    if not named:
        assert unreported([found["mf_core.errors.NotThereError"]], {file: "`NotThereError` is new."}) == []


def test_command_fails_where_a_fragment_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, now: dict[str, str]
) -> None:
    monkeypatch.setattr(api_snapshot, "current", lambda: now)
    monkeypatch.setattr(api_snapshot, "SNAPSHOT", ROOT / "tests" / "nothing.json")
    monkeypatch.setattr(api_snapshot, "fragments", dict)
    assert api_snapshot.main([]) == 1
    assert "write changelog.d/" in capsys.readouterr().out
    monkeypatch.setattr(api_snapshot, "SNAPSHOT", SNAPSHOT)
    monkeypatch.setattr(api_snapshot, "changes", lambda old, new: [])
    assert api_snapshot.main([]) == 0
    assert "nothing that is public has changed" in capsys.readouterr().out


# Deprecations -------------------------------------------------------------------------------------------------------


def deprecations() -> Iterator[tuple[str, str]]:
    """Yield where something is deprecated, and the version that is to be without it."""
    for folder in (ROOT / "mf_core", *ROOT.glob("plugins/*/src")):
        for file in folder.rglob("*.py"):
            if file.name == "deprecation.py":
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    for keyword in node.keywords:
                        if keyword.arg == "removed_in" and isinstance(keyword.value, ast.Constant):
                            yield f"{file}:{node.lineno}", str(keyword.value.value)


def test_what_was_to_be_gone_is_gone() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(\d+)\.(\d+)', project, re.MULTILINE)
    assert version
    released = [int(number) for number in version.groups()]
    due = [name for name, until in deprecations() if [int(number) for number in until.split(".")[:2]] <= released]
    assert due == []
