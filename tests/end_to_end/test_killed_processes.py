"""Saves and trainings that are killed or stopped at chosen system calls leave the old files or the new ones."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.strace import available

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(available()), reason=available())]


def run(module, *arguments):
    """Run a module of the tests' support in a process that has used no runtime, and return what it printed."""
    command = [sys.executable, "-m", f"tests.support.{module}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_saves(tmp_path):
    for counts in run("killed_saves", tmp_path, 70, 10).values():
        assert counts["killed: old"] + counts["killed: new"] == 70, counts
        assert counts["killed: new"] > 3


def test_trainings(tmp_path):
    counts = run("killed_trainings", tmp_path, 10, 2)
    assert counts["killed"] == 10
    assert counts["whole checkpoints"] > 5
