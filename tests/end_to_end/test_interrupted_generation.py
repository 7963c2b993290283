"""A pipeline stays usable after interruptions at random points, and serves eight threads at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.interrupted import main

ROOT = Path(__file__).parents[2]


def test_some():
    found = main(interrupted=12, runs=2, seed=1)
    assert sum(found["interruptions"].values()) == 12
    assert found["threads"] == {"runs": 2, "calls": 48}


@pytest.mark.slow
def test_many():
    command = [sys.executable, "-m", "tests.support.interrupted", "300", "30", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert sum(found["interruptions"].values()) == 300
    assert found["threads"]["runs"] == 30
