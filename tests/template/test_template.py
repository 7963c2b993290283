"""``mf plugins new``: what it writes installs, passes its own tests and the conformance kit, and is clean."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mf_core.cli import main
from mf_core.cli.new import KINDS as CHOICES
from mf_core.cli.new import write_repository
from mf_core.errors import ArgumentError
from mf_core.template import KINDS, LICENSES, Names, render
from mf_core.testing import PluginEnvironment, Wheelhouse

from ..support.type_checks import run_mypy

BORROWED = {"task": ("mf-cpu-backend", "mf-gpt2"), "backend": ("mindspore",)}


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A repository of each kind, written by the command."""
    folder = tmp_path_factory.mktemp("new")
    for kind in KINDS:
        assert main(["plugins", "new", f"good-{kind}", "--kind", kind, "--directory", str(folder)]) == 0
    return {kind: folder / f"mf-good-{kind}" for kind in KINDS}


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# As generated ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_installs_and_passes_its_tests(
    kind: str, repositories: dict[str, Path], tmp_path: Path, wheelhouse: Wheelhouse
) -> None:
    clean = PluginEnvironment(tmp_path / "environment", wheelhouse)
    clean.borrow("pytest", "hatchling", *BORROWED.get(kind, ("mf-cpu-backend",)))
    clean.install(repositories[kind])
    tested = clean.call(
        ["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--rootdir", str(repositories[kind]),
         "-c", str(repositories[kind] / "pyproject.toml"), str(repositories[kind] / "tests")], {}, timeout=600,
    )  # fmt: skip
    assert tested.code == 0, tested.stdout + tested.stderr
    skipped = [line for line in tested.stdout.splitlines() if line.startswith("SKIPPED")]
    if kind == "model":  # its weights come when it has been trained, which the repository's README tells
        (line,) = (line for line in skipped if "the head 'seq2seq_lm'" not in line)
        assert line.endswith("no preset of good_model has its weights here, offline")
    else:
        assert skipped == []
    readme = (repositories[kind] / "README.md").read_text(encoding="utf-8")
    used = clean.run("\n".join(re.findall(r"```python\n(.*?)```", readme, re.DOTALL)))
    assert used.code == 0, f"the README's code fails: {used.stderr}"


@pytest.mark.slow
def test_the_command_line_leads_from_the_repository_to_a_text(
    repositories: dict[str, Path], tmp_path: Path, wheelhouse: Wheelhouse
) -> None:
    """The steps that the command prints, but for pip and pytest, which the test above has."""
    clean = PluginEnvironment(tmp_path / "environment", wheelhouse)
    clean.borrow("mf-cpu-backend")
    clean.install(repositories["model"])
    for name in ("train.yaml", "train.jsonl"):
        (clean.home / name).write_text((repositories["model"] / name).read_text())
    trained = clean.mf("train", "--config", "train.yaml", "--set", "max_steps=15", "--set", "batch_size=4")
    assert trained.code == 0, trained.stderr
    said = clean.mf("generate", "--model", "./trained", "--greedy", "--json", "The")
    assert said.json["model_plugin"] == "mf-good-model 0.1.0"
    assert said.json["text"].startswith("The") and said.json["tokens"] > 0
    shown = clean.mf("generate", "--model", "good_model_tiny", "The")
    assert shown.code == 2 and "mf train --config train.yaml" in shown.stderr


def test_wheels_have_code_types_licence_and_nothing_else(
    repositories: dict[str, Path], wheelhouse: Wheelhouse
) -> None:
    for kind, wheel in zip(repositories, wheelhouse.wheels(repositories.values()), strict=True):
        names = zipfile.ZipFile(wheel).namelist()
        assert f"mf_good_{kind}/py.typed" in names and f"mf_good_{kind}/plugin.py" in names
        assert any(name.endswith("licenses/LICENSE") for name in names)
        assert {name.partition("/")[0] for name in names} == {f"mf_good_{kind}", f"mf_good_{kind}-0.1.0.dist-info"}


def test_the_cores_wheel_has_all_of_the_template(wheelhouse: Wheelhouse) -> None:
    root = Path(__file__).parents[2]
    (wheel,) = wheelhouse.wheels([root])
    files = {path for path in (root / "mf_core/template").rglob("*") if path.suffix in (".tmpl", ".txt")}
    assert len(files) > 40
    assert {str(path.relative_to(root)) for path in files} <= set(zipfile.ZipFile(wheel).namelist())


def test_the_ci_file_runs_the_checks() -> None:
    for kind in KINDS:
        files = render(Names.of("letters"), kind, year=2026, core="0.1.0")
        workflow = yaml.safe_load(files[".github/workflows/ci.yml"])
        steps = [step.get("run", "") for step in workflow["jobs"]["test"]["steps"]]
        assert {"ruff check", "mypy", "pytest", "mf plugins check mf-letters"} <= set(steps)


@pytest.mark.parametrize("name", ["z", "a" * Names.LONGEST])
def test_they_are_clean_with_short_and_long_names(name: str, tmp_path: Path, mypy_cache: Path) -> None:
    """ruff and mypy, as the generated CI runs them."""
    for kind in KINDS:
        write_repository(tmp_path / kind, render(Names.of(name), kind, year=2026, core="0.1.0"))
        run(sys.executable, "-m", "ruff", "check", "--no-cache", cwd=tmp_path / kind)
    if len(name) == 1:  # types do not depend on it
        for kind in ("model", "processor", "task", "backend"):  # a processor's repository has a tokenizer's files
            done = run_mypy(cwd=tmp_path / kind, cache=mypy_cache)
            assert done.returncode == 0, done.stdout + done.stderr


def test_generated_twice_they_are_equal() -> None:
    for kind in KINDS:
        first, second = (render(Names.of("letters"), kind, year=2026, core="0.1.0") for _ in range(2))
        assert first == second
        assert list(first) == sorted(first)
        for path, text in first.items():
            assert "$name" not in text and "$title" not in text and "${title}" not in text, path
            assert text == "" or re.search(r"[^\n]\n\Z", text), path
            assert "tmpl" not in path


def test_the_kinds_of_the_command_are_the_templates() -> None:
    assert tuple(KINDS) == CHOICES


# What is chosen -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("license", LICENSES)
def test_licences(license: str) -> None:
    files = render(
        Names.of("letters"), "model", license=license, author="Ada Lovelace <ada@example.org>", year=1843, core="0.1.0"
    )
    project = files["pyproject.toml"]
    assert 'authors = [{ name = "Ada Lovelace", email = "ada@example.org" }]' in project
    assert ("LICENSE" in files) is (license != "none")
    assert (f'license = "{license}"' in project) is (license != "none")
    assert ("Private :: Do Not Upload" in project) is (license == "none")
    assert f'license="{"" if license == "none" else license}"' in files["src/mf_letters/plugin.py"]
    if license in ("MIT", "BSD-3-Clause"):
        assert re.search(r"Copyright \(c\) 1843,? Ada Lovelace\n", files["LICENSE"])
    if license == "Apache-2.0":
        assert files["LICENSE"] == (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")


def test_the_metadata_are_read_by_a_builder(tmp_path: Path, wheelhouse: Wheelhouse) -> None:
    """Also with an author whose name needs quoting, and with all rights reserved."""
    author = 'Zoë "Zed" O\'Hara <zed@example.org>'
    texts = render(Names.of("quoted"), "tokenizer", license="none", author=author, year=2026, core="1.4.2")
    write_repository(tmp_path / "quoted", texts)
    (wheel,) = wheelhouse.wheels([tmp_path / "quoted"])
    metadata = zipfile.ZipFile(wheel).read("mf_quoted-0.1.0.dist-info/METADATA").decode()
    assert "zed@example.org" in metadata and "Classifier: Private :: Do Not Upload" in metadata
    assert re.search(r"Requires-Dist: mf-framework(<2,>=1\.4|>=1\.4,<2)\n", metadata)


@pytest.mark.parametrize("author", ["", "<ada@example.org>", "Ada\nLovelace", "Ada <ada>", "Ada <a@b> <c@d>"])
def test_bad_authors_are_refused(author: str) -> None:
    with pytest.raises(ArgumentError, match="is not an author"):
        render(Names.of("letters"), "model", author=author, year=2026, core="0.1.0")


@pytest.mark.parametrize(
    ("given", "distribution", "package", "name", "title"),
    [
        ("letters", "mf-letters", "mf_letters", "letters", "Letters"),
        ("mf-letters", "mf-letters", "mf_letters", "letters", "Letters"),
        ("Good_Letters", "mf-good-letters", "mf_good_letters", "good_letters", "GoodLetters"),
        ("a.b--c", "mf-a-b-c", "mf_a_b_c", "a_b_c", "ABC"),
        ("v2", "mf-v2", "mf_v2", "v2", "V2"),
    ],
)
def test_names_follow_from_what_is_typed(given: str, distribution: str, package: str, name: str, title: str) -> None:
    assert Names.of(given) == Names(distribution, package, name, title)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "a distribution's name has ASCII letters"),
        ("-letters", "a distribution's name has ASCII letters"),
        ("letters-", "a distribution's name has ASCII letters"),
        ("good letters", "a distribution's name has ASCII letters"),
        ("letters\n", "a distribution's name has ASCII letters"),
        ("../letters", "a distribution's name has ASCII letters"),
        ("bücher", "a distribution's name has ASCII letters"),
        ("3d", "the names of its classes would begin with a digit"),
        ("mf-3d", "the names of its classes would begin with a digit"),
        ("class", "'class' is a keyword of Python"),
        ("none", "'none' is a keyword of Python"),
        ("gpt2", "mf-gpt2 is another package"),
        ("MF_Core", "mf-core is another package"),
        ("a" * (Names.LONGEST + 1), "33 characters"),
    ],
)
def test_bad_names_are_refused_with_the_reason(
    given: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", "new", "--directory", str(tmp_path), "--", given]) == 2
    said = capsys.readouterr().err
    assert "cannot be the name of a plugin" in said and why in said and "try: " in said
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_licence_is_refused_with_what_is_close(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", "letters", "--directory", str(tmp_path), "--license", "BSD-3-Claus"]) == 2
    said = capsys.readouterr().err
    assert "there is no license 'BSD-3-Claus'" in said and "did you mean 'BSD-3-Clause'?" in said
    assert list(tmp_path.iterdir()) == []


# Where it is written --------------------------------------------------------------------------------------------------


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mf-letters"
    mine.write_text("mine")
    assert main(["plugins", "new", "letters", "--directory", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert mine.read_text() == "mine"
    mine.unlink()
    mine.symlink_to(tmp_path / "nowhere")
    assert main(["plugins", "new", "letters", "--directory", str(tmp_path)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mf-letters"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["plugins", "new", "letters", "--directory", str(tmp_path / "file")]) == 2
    said = capsys.readouterr().err
    assert "cannot be written" in said
    assert "Not a directory" in said or "File exists" in said


def test_what_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = Path.write_text, []

    def full(path: Path, *args: object, **options: object) -> int:
        calls.append(path)
        if len(calls) > 3:
            raise OSError(28, os.strerror(28))
        return write(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ArgumentError, match="cannot be written") as caught:
        write_repository(tmp_path / "mf-letters", render(Names.of("letters"), "model", year=2026, core="0.1.0"))
    assert "No space left" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_to_type_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "new", "letters", "--directory", str(tmp_path / "some where")]) == 0
    said = capsys.readouterr().out
    wanted = [f"cd '{tmp_path}/some where/mf-letters'", "pip install -e", "pytest  ", "mf plugins check mf-letters",
              "mf train", "mf generate"]  # fmt: skip
    positions = [said.index(step) for step in wanted]
    assert positions == sorted(positions)


def test_plugins_alone_still_lists(environment: Callable[..., PluginEnvironment]) -> None:
    made = environment()
    assert "mf-framework" in made.mf("plugins").stdout
    assert [record["distribution"] for record in made.mf("plugins", "--json").json] == ["mf-framework"]
