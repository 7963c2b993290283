"""The documentation: its code runs, its links lead somewhere, and it tells of every command and variable."""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from ..support.docs_blocks import PARSED, ROOT, RUN, SHOWN, Block, blocks_of, environment_of, pages, prose, quoted
from ..support.plugin_environment import PluginEnvironment

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

PAGES = pages()
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
#: A translation's blocks are those of the page that it translates, so they need not run twice.
OWN = [page for page in PAGES if not page.name.endswith(".zh.md")]
SHARED = [page for page in OWN if environment_of(page) is None]
APART = [page for page in OWN if environment_of(page) is not None]
TRANSLATED = [page for page in PAGES if page.name.endswith(".zh.md")]
#: How many blocks may be left out because they cannot run here; each says why. A family's README may show one more:
#: its published weights come from a hub.
MOST_NOT_RUN = 37


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def runnable(page: Path) -> list[Block]:
    return [
        block for block in blocks_of(page)
        if "not run" not in block.notes and (block.language in (*RUN, "setup") or block.title)
    ]  # fmt: skip


def run(items: list[dict[str, object]], **environment: str) -> dict[str, str]:
    """Run pages' blocks in one process and return what went wrong: location -> what."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("MF_", "PYTHON"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/support/docs_runner.py")],
        input=json.dumps(items), capture_output=True, text=True,
        env={**kept, "PATH": path, "COLUMNS": "120", "HF_HUB_OFFLINE": "1", **environment}, timeout=3600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    """What went wrong in the pages that need no separate environment, all run in one process."""
    work = []
    for page in SHARED:
        blocks = [block.as_dict() for block in runnable(page)]
        if blocks:
            folder = tmp_path_factory.mktemp("page")
            work.append({"page": name(page), "blocks": blocks, "folder": str(folder), "alone": False})
    cache = str(tmp_path_factory.mktemp("cache"))
    return run(work, MF_CACHE=cache, XDG_CACHE_HOME=cache)


@pytest.mark.parametrize("page", [name(page) for page in SHARED if runnable(page)])
def test_the_blocks_of_a_page_run(failures, page):
    found = [f"{location}: {what}" for location, what in failures.items() if location.rpartition(":")[0] == page]
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("page", APART, ids=name)
def test_a_page_can_be_followed_in_a_separate_environment(page, tmp_path, wheelhouse):
    distributions = environment_of(page)
    assert distributions
    environment = PluginEnvironment(tmp_path / "environment", wheelhouse)
    if "." in distributions:
        environment.install(page.parent)
    variables = workshop(environment, [item for item in distributions if item != "."])
    blocks = [block.as_dict() for block in runnable(page)]
    folder = tmp_path / "desk"
    folder.mkdir()
    failures = run([{"page": name(page), "blocks": blocks, "folder": str(folder), "alone": True}], **variables)
    assert not failures, "\n".join(f"{location}: {what}" for location, what in failures.items())


def workshop(environment: PluginEnvironment, distributions: list[str]) -> dict[str, str]:
    """Put distributions and their commands into an environment; return the variables that make it the one in use."""
    environment.borrow("pip", *distributions)
    for distribution in ("mf-framework", "pip", *distributions):
        for entry in metadata.entry_points(group="console_scripts"):
            if entry.dist is not None and entry.dist.name.lower() == distribution:
                script = environment.python.with_name(entry.name)
                call = f"import sys\nfrom {entry.module} import {entry.attr}\n"
                call += f"if __name__ == '__main__':\n    sys.exit({entry.attr}())"
                script.write_text(f"#!{environment.python}\n{call}\n", encoding="utf-8")
                script.chmod(0o755)
    return {
        "PATH": f"{environment.python.parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(environment.home),
        "CHECKOUT": str(ROOT), "PYTHONPATH": "", "VIRTUAL_ENV": str(environment.python.parents[1]),
        "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": "/dev/null", "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "NO_COLOR": "1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("page", "wrong"),
    [
        ("```python\nassert 1 == 2\n```", "AssertionError"),
        ("```bash\nfalse\n```", "exit code 1"),
        ("```console\n$ echo one two\none … three\n```", "should print"),
        ("<!-- test: exit 1 -->\n```console\n$ true\n```", "exit code 0, not 1"),
        ("```console\n$ cd folder-that-is-not-there\n```", "exit code 1"),
        ('```python title="a.py"\nx = 1\n```\n```python title="a.py (continued)"\ny = x\n```\n'
         "```console\n$ cat a.py\nx = 1\ny = x\n$ mkdir new\n$ cd new\n$ ls ..\na.py\nnew\n```", None),
        ("<!-- test: not run: it would take a week -->\n```bash\nfalse\n```\n"
         "```console\n$ echo one two three\none … three\n```", None),
    ],
)  # fmt: skip
def test_what_does_not_hold_is_found(tmp_path, page, wrong):
    file = tmp_path / "page.md"
    file.write_text(page, encoding="utf-8")
    blocks = [block.as_dict() for block in runnable(file)]
    failures = run([{"page": "page.md", "blocks": blocks, "folder": str(tmp_path), "alone": True}])
    assert [wrong in what for what in failures.values()] == [True] if wrong else failures == {}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_are_written_as_they_should_be(page):
    for block in blocks_of(page):
        known = (*RUN, *PARSED, *SHOWN, "setup")
        assert block.language in known, f"{block.location}: what language is {block.language!r}?"
        if block.language in ("python", "setup") and not block.text.startswith(">>> "):
            ast.parse(block.text)
        if block.language == "console":
            assert block.text.startswith("$ "), f"{block.location}: a console block begins with a command"
        try:
            if block.language == "yaml":
                yaml.safe_load(block.text)
            elif block.language == "toml":
                tomllib.loads(block.text)
            elif block.language == "json":
                json.loads(block.text)
        except Exception as error:
            raise AssertionError(f"{block.location} is no {block.language}: {error}") from error
    indented = re.search(r"(?:^|\n)(?![ \t]*(?:[*+-]|\d+\.) )[^\n ][^\n]*\n\n    \S", prose(page))
    assert not indented, f"{name(page)}: put ``` around the indented block in {indented[0]!r}"


def test_few_blocks_are_not_run_and_each_says_why():
    left_out = [block for page in OWN for block in blocks_of(page) if "not run" in block.notes]
    readmes = {block.page for block in left_out if block.notes["not run"] == "the weights come from the hub"
               and block.page.startswith("plugins/")}
    assert len(left_out) - len(readmes) <= MOST_NOT_RUN, [block.location for block in left_out]
    for block in left_out:
        assert len(block.notes["not run"].split()) >= 3, f"{block.location}: why is it not run?"
        assert block.language in RUN, f"{block.location} would not be run in any case"


@pytest.mark.parametrize("page", TRANSLATED, ids=name)
def test_a_translation_has_the_same_blocks(page):
    original = page.with_name(page.name.replace(".zh.md", ".md"))
    mine, other = (
        [(b.language, b.title, b.text) for b in blocks_of(p) if b.language != "setup"] for p in (page, original)
    )
    assert mine == other


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_blocks_that_quote_a_file_are_as_it_is(page):
    files: dict[str, str] = {}
    for block in blocks_of(page):
        if "quoted" in block.notes:
            reference = block.notes["quoted"]
            hint = "`python -m tests.support.docs_blocks` renews it"
            assert block.text == quoted(reference), f"{block.location} is no longer {reference}; {hint}"
            path, _, part = reference.partition(" ")
            if part == "head":
                files[path] = block.text
            elif path in files:
                files[path] += f"\n\n{block.text}"
    for path, text in files.items():
        assert text == (ROOT / path).read_text(encoding="utf-8"), f"{name(page)} leaves out a part of {path}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), f"{name(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_show_nothing_that_lies_elsewhere(page):
    assert not re.findall(r"!\[[^\]]*\]\(https?:|<(?:img|script|link|iframe)[^>]+https?:", prose(page))


def test_the_site_fetches_nothing():
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in settings
    assert not re.search(r"https?:", settings)
    assert "http" not in (ROOT / "docs/assets/site.css").read_text(encoding="utf-8")


def everything_told() -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in OWN)


def test_every_command_is_documented():
    from mf_core.cli import COMMANDS

    parser = argparse.ArgumentParser(prog="mf")
    commands = parser.add_subparsers()
    for module in COMMANDS:
        module.add_commands(commands)
    told = everything_told()
    missing = [command for command in commands.choices if not re.search(rf"\bmf {command}\b", told)]
    assert not missing


def test_every_variable_is_documented():
    sources = [*ROOT.glob("mf_core/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    used = {found for path in sources for found in re.findall(r"\bMF_[A-Z][A-Z_]*[A-Z]\b", path.read_text("utf-8"))}
    page = (ROOT / "docs/reference/environment.md").read_text(encoding="utf-8")
    assert "MF_PLUGINS" in used
    assert sorted(variable for variable in used if f"`{variable}`" not in page) == []


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in OWN:
        if page.is_relative_to(ROOT / "docs"):
            assert str(page.relative_to(ROOT / "docs")) in navigation
