"""The build hook: libraries of an editable install are used again while all that they depend on is the same."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

#: Stands in for a compiler: notes each call, and writes what it was given.
COMPILER = """#!/bin/sh
if [ "$1" = --version ]; then echo "compiler 1"; exit; fi
echo "$@" >> {log}
while [ "$1" != -o ]; do shift; done
echo library > "$2"
"""

BUILD = """
import json, os, sys, zipfile
from pathlib import Path
from hatchling import build
package, log = Path("src/mf_cpu_backend"), Path(sys.argv[1])
calls = lambda: len(log.read_text().splitlines()) if log.exists() else 0
def step(action):
    before = calls()
    name = action()
    names = zipfile.ZipFile(Path("dist", name)).namelist()
    return [calls() - before, sum(name.endswith(".so") for name in names), "mf_cpu_backend/_kernels.json" in names]
wheel, editable = (lambda: build.build_wheel("dist")), (lambda: build.build_editable("dist"))
seen = {"wheel first": step(wheel), "editable": step(editable), "editable again": step(editable), "wheel": step(wheel)}
os.environ["CXXFLAGS"] = "-O1"
seen["other flags"] = step(wheel)
del os.environ["CXXFLAGS"]
library = next(package.glob("_kernels*.so"))
kept = library.read_bytes()
library.write_bytes(b"another")
seen["changed library"] = step(wheel)
library.write_bytes(kept)
seen["library restored"] = step(wheel)
Path("native/header.h").write_text("int changed;")
seen["changed header"] = step(wheel)
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """How often each build called the compiler, how many libraries its wheel has, whether the record is in it."""
    folder = tmp_path_factory.mktemp("build")
    project = folder / "project"
    (project / "src/mf_cpu_backend").mkdir(parents=True)
    (project / "src/mf_cpu_backend/__init__.py").touch()
    (project / "native").mkdir()
    (project / "native/kernel.cc").touch()
    (project / "native/header.h").touch()
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, project)
    shutil.copy(PROJECT.parents[1] / ".gitignore", project)
    compiler = folder / "compiler"
    compiler.write_text(COMPILER.format(log=folder / "log"))
    compiler.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(folder / "log")], cwd=project, capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "CXX": str(compiler)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("build", ["wheel first", "editable", "other flags", "changed library", "changed header"])
def test_libraries_are_compiled(seen, build):
    levels, in_wheel, record = seen[build]
    assert levels > 0
    assert in_wheel == (0 if build == "editable" else levels)
    assert not record


@pytest.mark.parametrize("build", ["editable again", "wheel", "library restored"])
def test_libraries_are_used_again(seen, build):
    assert seen[build] == [0, 0 if build.startswith("editable") else seen["wheel first"][0], False]
