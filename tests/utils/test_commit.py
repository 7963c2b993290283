"""Replacing files of a folder in one step: at whatever moment the process ends, all files are old or all are new."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from mf_core.checkpoint.safetensors_reader import weights_of_folder
from mf_core.checkpoint.shards import INDEX_FILE
from mf_core.checkpoint.verify import check_files
from mf_core.errors import CheckpointError, IntegrityError
from mf_core.utils import commit
from mf_core.utils.commit import JOURNAL, finish, replace_files, replace_folder

OLD = {"config.json": "old", "model-00001-of-00002.safetensors": "old", "model-00002-of-00002.safetensors": "old"}
NEW = {"config.json": "new", "model.safetensors": "new"}
MINE = {"notes.txt": "my own"}

#: Saves in forked processes, of which the n-th ends, as by ``kill -9``, at its n-th call of what changes files; the
#: last one comes to its end.
DIES_AT = """
import json, os, pathlib, sys
import mf_core.utils.commit, mf_core.utils.files, mf_core.utils.locks, filelock
from mf_core.utils.commit import replace_files

root, old, new, most = pathlib.Path(sys.argv[1]), *map(json.loads, sys.argv[2:])

def ending_at(last, function):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == last:
            os._exit(9)
        return function(*arguments, **options)
    return call

for number in range(1, most + 1):
    folder = root / str(number)
    folder.mkdir()
    for name, text in old.items():
        (folder / name).write_text(text)
    child = os.fork()
    if not child:
        calls = 0
        for name in ("replace", "rename", "fsync", "unlink", "rmdir", "mkdir"):
            setattr(os, name, ending_at(number, getattr(os, name)))
        with replace_files(folder, ["model-*.safetensors"]) as staging:
            for name, text in new.items():
                (staging / name).write_text(text)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
"""


def write(folder, files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def read(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def replace(folder, files=NEW, stale=("model-*.safetensors",)):
    with replace_files(folder, stale) as staging:
        write(staging, files)


def test_files_are_replaced_and_others_stay(tmp_path):
    write(tmp_path, {**OLD, **MINE})
    (tmp_path / "checkpoint-3").mkdir()
    replace(tmp_path)
    assert read(tmp_path) == {**NEW, **MINE}
    assert (tmp_path / "checkpoint-3").is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*NEW, *MINE, "checkpoint-3"])


def test_folder_is_made_and_left_away_when_nothing_is_written(tmp_path):
    replace(tmp_path / "a" / "b")
    assert read(tmp_path / "a" / "b") == NEW
    with pytest.raises(OSError, match="disk"), replace_files(tmp_path / "c" / "d") as staging:
        write(staging, NEW)
        raise OSError("disk")
    assert not (tmp_path / "c").exists()


def test_only_names_of_checkpoints_are_removed_or_replaced_by_folders(tmp_path):
    write(tmp_path, {**OLD, **MINE, "data.csv": "mine", "train.py": "mine"})
    (tmp_path / "tokenizer.json").mkdir()
    (tmp_path / "Documents").mkdir()
    with replace_files(tmp_path, ["*"]) as staging:
        write(staging, NEW)
    assert read(tmp_path) == {**NEW, **MINE, "data.csv": "mine", "train.py": "mine"}
    assert (tmp_path / "Documents").is_dir()
    with pytest.raises(CheckpointError, match=r"a folder named 'tokenizer.json' .* is in the way"):
        replace(tmp_path, {"config.json": "newer", "tokenizer.json": "newer"})
    assert read(tmp_path)["config.json"] == "new"


def test_folder_that_is_replaced_is_old_or_new(tmp_path):
    for content in ("one", "two"):
        with replace_folder(tmp_path / "checkpoint-3", ["checkpoint-2"]) as fresh:
            replace(fresh, {"config.json": content})  # part of the same step
            write(fresh, {"state.json": content})
        assert read(tmp_path / "checkpoint-3") == {"config.json": content, "state.json": content}
        (tmp_path / "checkpoint-2").mkdir()
    with replace_folder(tmp_path / "checkpoint-4", ["checkpoint-2"]) as fresh:
        write(fresh, NEW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3", "checkpoint-4"]


def test_block_that_fails_leaves_the_old_files(tmp_path):
    write(tmp_path, OLD)
    with pytest.raises(KeyboardInterrupt), replace_files(tmp_path, ["*"]) as staging:
        write(staging, NEW)
        raise KeyboardInterrupt
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == OLD


def test_blocks_within_a_block_are_one_step(tmp_path):
    write(tmp_path, OLD)
    with replace_files(tmp_path) as outer:
        replace(outer, NEW)
        replace(outer, {"tokenizer.json": "new"}, ())
        assert read(tmp_path) == OLD
    assert read(tmp_path) == {**NEW, "tokenizer.json": "new"}


def test_link_to_a_folder_stays(tmp_path):
    write(tmp_path / "real", OLD)
    (tmp_path / "link").symlink_to("real")
    replace(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert read(tmp_path / "real") == NEW


def test_folders_are_replaced_too(tmp_path):
    write(tmp_path, OLD)
    for content in ("one", "two"):
        with replace_files(tmp_path, ["*"]) as staging:
            (staging / "shards").mkdir()
            (staging / "shards" / "x").write_text(content)
        assert [path.name for path in tmp_path.iterdir()] == ["shards"]
        assert (tmp_path / "shards" / "x").read_text() == content


def die(root, most):
    """Return the folders that saves left which ended at their first call, at their second, and so on."""
    root.mkdir()
    arguments = [str(root), json.dumps({**OLD, **MINE}), json.dumps(NEW), str(most)]
    done = subprocess.run([sys.executable, "-c", DIES_AT, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return sorted(root.iterdir(), key=lambda folder: int(folder.name))


def test_process_that_ends_at_any_call_leaves_the_old_files_or_the_new(tmp_path):
    outcomes = []
    for folder in die(tmp_path / "saves", 100):
        foreign = read(folder)
        if "config.json" in foreign:  # what a program that knows no journal takes for a model is never a mixture
            weights = {text for name, text in foreign.items() if name.startswith("model")}
            assert weights == {foreign["config.json"]}, folder.name
        finish(folder)
        left = {name: text for name, text in read(folder).items() if name != JOURNAL}
        assert left in ({**OLD, **MINE}, {**NEW, **MINE}), folder.name
        outcomes.append(left == {**NEW, **MINE})
    assert outcomes == sorted(outcomes)  # from some call on, the new files
    assert outcomes.count(False) > 5
    assert 5 < outcomes.count(True) < 80


def test_next_save_clears_what_a_killed_one_left(tmp_path):
    folder = die(tmp_path / "saves", 5)[-1]
    assert any(commit.is_staging(path.name) for path in folder.iterdir())
    replace(folder)
    assert read(folder) == {**NEW, **MINE}
    assert not any(path.is_dir() for path in folder.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{", '{"staging": "x", "put": [], "remove": []}', "[" * 100_000,
        '{"staging": ".mf-save-0123456789abcdef", "put": [], "remove": ["../outside"]}',
        '{"staging": ".mf-save-0123456789abcdef", "put": ["a/b"], "remove": []}',
        '{"staging": ".mf-save-0123456789abcdef", "put": [3], "remove": []}',
        '{"staging": ".mf-save-0123456789abcdef", "put": [], "remove": ["outside"]}',
        '{"staging": ".mf-save-0123456789abcdef", "put": [], "remove": ["config.json", ".ssh"]}',
        '{"staging": "../.mf-save-0123456789abcdef", "put": [], "remove": []}',
    ],
)  # fmt: skip
def test_damaged_journal_is_named_and_removes_nothing(text, tmp_path):
    (tmp_path / "outside").write_text("mine")
    folder = tmp_path / "folder"
    write(folder, {**OLD, JOURNAL: text})
    with pytest.raises(IntegrityError, match="mf-commit"):
        finish(folder)
    assert (tmp_path / "outside").exists()
    assert read(folder).items() >= OLD.items()


def test_journal_whose_files_are_gone_is_an_error(tmp_path):
    journal = {"staging": ".mf-save-0123456789abcdef", "put": ["config.json"], "remove": []}
    (tmp_path / JOURNAL).write_text(json.dumps(journal))
    with pytest.raises(CheckpointError, match="its files are gone"):
        finish(tmp_path)


#: Saves models without end, in one file or in shards; the configuration and all weights are a number that rises.
SAVES = textwrap.dedent("""
    import itertools, sys
    import numpy as np
    from mf_core.checkpoint.shards import LazyTensor, write_shards
    from mf_core.utils.commit import replace_files
    from mf_core.utils.files import write_json
    for number in itertools.count(1):
        array = np.full(500, number, np.int32)
        tensors = [LazyTensor(name, array.shape, "int32", lambda: array) for name in "abc"]
        with replace_files(sys.argv[1]) as staging:
            write_shards(tensors, staging, shard_size=10**9 if number % 2 else 3000)
            write_json(staging / "config.json", {"number": number})
        print(number, flush=True)
""")


def kill_at_random_moments(tmp_path, count, seed):
    """Kill saving processes after random times; check after each that the folder holds one save, whole."""
    script, folder, draw = tmp_path / "saves.py", tmp_path / "folder", random.Random(seed)
    script.write_text(SAVES)
    for _ in range(count):
        process = subprocess.Popen([sys.executable, script, folder], stdout=subprocess.PIPE)
        process.stdout.readline()  # one is whole
        time.sleep(draw.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        finish(folder)
        number = json.loads((folder / "config.json").read_text())["number"]
        stored = weights_of_folder(folder)
        assert [int(stored[name].read()[0]) for name in "abc"] == [number] * 3
        assert {found.status for found in check_files(folder)} == {"whole"}
        names = {path.name for path in folder.glob("model*")}
        assert names == {tensor.path.name for tensor in stored.values()} | ({INDEX_FILE} if number % 2 == 0 else set())


def test_killed_saves(tmp_path):
    kill_at_random_moments(tmp_path, 10, seed=1)


@pytest.mark.slow
def test_two_hundred_killed_saves(tmp_path):
    kill_at_random_moments(tmp_path, 200, seed=2)
