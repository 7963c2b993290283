"""Run the test suites of plugins against this checkout: ``python downstream/run.py [NAME …]``.

A change of the core that breaks a plugin shows here before its author's users find it. What is run is in
``recipes.yaml``, a line for each project. Each is built as a wheel and installed into a separate environment, which
sees of the running one only the core and what the recipe names; its tests run there, in a copy of its folder without
its sources, so that it is the wheel that is tested.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mf_core.errors import MFError
from mf_core.testing import PluginEnvironment, Wheelhouse

HERE = Path(__file__).parent
ROOT = HERE.parent
#: Seconds after which a project's tests are taken to hang.
_LONGEST = 1800


@dataclass(frozen=True)
class Recipe:
    """How a project is tested.

    Attributes:
        name: What it is called here.
        source: A folder of the checkout, or ``"git+https://host/owner/name@tag"``.
        needs: Distributions of the running environment.
        requires: Requirements that an index has.
        test: Arguments of the interpreter.
    """

    name: str
    source: str
    needs: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    test: tuple[str, ...] = ("-m", "pytest", "-q")

    @classmethod
    def of(cls, name: str, fields: dict[str, Any]) -> Recipe:
        """Return the recipe of an entry; raise ValueError for a key that is not known, or where the source lacks."""
        unknown = sorted(set(fields) - {"source", "needs", "requires", "test"})
        if unknown or "source" not in fields:
            raise ValueError(f"{name} of recipes.yaml {f'has the unknown {unknown}' if unknown else 'has no source'}")
        lists = {key: tuple(value) for key, value in fields.items() if key != "source"}
        return cls(name, fields["source"], **lists)


def recipes(file: Path = HERE / "recipes.yaml") -> dict[str, Recipe]:
    """Return all recipes, by name."""
    tables = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {name: Recipe.of(name, fields) for name, fields in tables.items()}


def run(recipe: Recipe, folder: Path) -> tuple[bool, str]:
    """Test a project; return whether its tests passed, and what they printed.

    Args:
        recipe: The project's.
        folder: An empty folder for all that this makes.
    """
    project = fetch(recipe.source, folder / "source")
    environment = PluginEnvironment(folder / "environment", Wheelhouse(folder / "wheels"))
    environment.borrow("pytest", "hatchling", *recipe.needs)
    if recipe.requires:
        environment.borrow("pip")
        installed = environment.call(["-m", "pip", "install", "--quiet", *recipe.requires], {})
        if installed.code:
            return False, installed.stderr
    environment.install(project)
    shutil.rmtree(project / "src", ignore_errors=True)
    done = environment.call(recipe.test, {}, timeout=_LONGEST, cwd=project)
    return done.code == 0, done.stdout + done.stderr


def fetch(source: str, folder: Path) -> Path:
    """Copy a folder of the checkout, or clone a repository; return where it is."""
    if source.startswith("git+"):
        url, _, revision = source.removeprefix("git+").partition("@")
        branch = ["--branch", revision] if revision else []
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", *branch, url, str(folder)], check=True)
    else:
        ignored = shutil.ignore_patterns("__pycache__", ".*_cache", "dist", "build")
        shutil.copytree(ROOT / source, folder, ignore=ignored)
    return folder


def main() -> int:
    """Test the projects that the command line names, or all; return 1 where tests failed."""
    known = recipes()
    parser = argparse.ArgumentParser(description="Run the test suites of plugins against this checkout.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(known)} (default: all)")
    names = parser.parse_args().names or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"recipes.yaml has no {unknown[0]!r}; it has {', '.join(known)}")
    failed = []
    for name in names:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix=f"downstream-{name}-") as folder:
            try:
                passed, said = run(known[name], Path(folder))
            except (MFError, OSError, subprocess.SubprocessError) as error:  # one that cannot be built, or hangs
                passed, said = False, str(error)
        last = (said.strip().splitlines() or [""])[-1]
        print(f"{name}: {'passed' if passed else 'FAILED'} in {time.perf_counter() - start:.0f} s ({last})", flush=True)
        if not passed:
            failed.append(name)
            print(said, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
