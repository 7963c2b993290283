"""Files of every kind, edited and mangled: they are read, or the error is one of the library's."""

import os
import random
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import pytest

from mf_core.errors import MFError

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, seed, settings

from .support.hostile_files import edits, fill, kinds, mangled

ROOT = Path(__file__).parents[1]
#: More draws, and others: for a long run.
DRAWS = int(os.environ.get("MF_TEST_FILE_DRAWS", "0"))
SEED = os.environ.get("MF_TEST_SEED")
#: Seconds within which any file is read or refused, on a machine that does other things too.
LONGEST = 20.0
NAMES = (
    "state", "adapter", "tokenizer", "tokenizer settings", "chat template", "generation", "configuration", "run file",
    "layout", "journal", "metrics", "lock", "gguf",
)  # fmt: skip
#: Those whose reading costs the most are drawn less often.
COSTLY = {"tokenizer", "tokenizer settings", "chat template"}

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    base = tmp_path_factory.mktemp("base")
    found = {kind.name: kind for kind in kinds(base)}
    assert tuple(found) == NAMES
    return base, found


def attempt(kind, folder, data):
    """Read a file's folder; return what came of it. Any exception but the library's own passes."""
    (folder / kind.file).write_bytes(data)
    begin = time.monotonic()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind.read(folder)
        outcome = "read"
    except MFError as error:
        text = str(error)
        assert len(text) < 8000
        assert text.replace("\n", "").isprintable(), ascii(text)
        outcome = "a clear error"
    assert time.monotonic() - begin < LONGEST
    return outcome


def folder_of(kind, known, tmp_path):
    folder = tmp_path / ("checkpoint-4" if kind.name == "state" else "folder")
    fill(folder, kind, known[0])
    return folder


def report(name, how, tally):
    print(f"{name}, {how}: {dict(sorted(tally.items()))}")


@pytest.mark.parametrize("name", NAMES)
def test_whole_files_are_read(known, name, tmp_path):
    kind = known[1][name]
    data = kind.data if isinstance(kind.data, bytes) else kind.text(kind.data)
    expected = "a clear error" if name == "journal" else "read"  # what the journal names is not there
    assert attempt(kind, folder_of(kind, known, tmp_path), data) in (expected, "read")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "gguf"])
def test_edited(known, name, tmp_path):
    kind, tally = known[1][name], Counter()
    folder = folder_of(kind, known, tmp_path)
    count = DRAWS or (6 if name in COSTLY else 40)

    @settings(
        max_examples=count, deadline=None, derandomize=SEED is None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(data=edits(kind.data))
    def check(data):
        tally[attempt(kind, folder, kind.text(data))] += 1

    (check if SEED is None else seed(int(SEED))(check))()
    report(name, "edited", tally)


@pytest.mark.parametrize("name", NAMES)
def test_mangled(known, name, tmp_path):
    kind, tally, draw = known[1][name], Counter(), random.Random(f"{SEED} {name}")
    folder = folder_of(kind, known, tmp_path)
    whole = kind.data if isinstance(kind.data, bytes) else kind.text(kind.data)
    if name == "gguf":
        head = whole.find(b"blk.0") + 3000  # the header: the rest is numbers, of which each is as good as another
    for number in range(DRAWS or (6 if name in COSTLY else 60)):
        data = mangled(whole, draw) if name != "gguf" else mangled(whole[:head], draw) + whole[head:]
        try:
            tally[attempt(kind, folder, data)] += 1
        except BaseException:
            print(f"draw {number}: {data[:3000]!a}")
            raise
    report(name, "mangled", tally)


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2])
def test_many(number, tmp_path):
    """Each seed in a separate process: 7,500 files."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "edited or mangled", __file__]
    environment = {**os.environ, "MF_TEST_FILE_DRAWS": "300", "MF_TEST_SEED": str(number)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
