"""Locks between processes: a second run learns who has the folder, others wait, and a killed holder leaves no lock."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from mf_core.errors import CheckpointError
from mf_core.utils.locks import RUN_LOCK_FILE, RunLock, exclusive, holder, wait_for

#: Takes a lock, says so, and keeps it until its input ends.
HOLDS = """
import sys
from pathlib import Path
from mf_core.utils.locks import RunLock, exclusive, wait_for
with {lock}:
    print("held", flush=True)
    sys.stdin.read()
"""


class Other:
    """Another process that holds a lock."""

    def __init__(self, lock):
        command = [sys.executable, "-c", HOLDS.replace("{lock}", lock)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "held\n"

    def __enter__(self):
        return self.process

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def test_a_second_run_learns_who_has_the_folder(tmp_path):
    with Other(f"RunLock({str(tmp_path)!r})") as process:
        with pytest.raises(CheckpointError, match="another run writes to") as caught:
            RunLock(tmp_path)
        assert re.match(
            rf"process {process.pid} on {re.escape(socket.gethostname())} holds it since 20\d\d-", caught.value.why
        )
    with RunLock(tmp_path):
        pass


def test_two_runs_of_one_process_exclude_each_other(tmp_path):
    lock = RunLock(tmp_path / "new")
    with pytest.raises(CheckpointError, match="another run"):
        RunLock(tmp_path / "new")
    lock.release()
    lock.release()
    with RunLock(tmp_path / "new"):
        pass


def test_a_killed_run_leaves_no_lock(tmp_path):
    with Other(f"RunLock({str(tmp_path)!r})") as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert str(process.pid) in (tmp_path / RUN_LOCK_FILE).read_text()
        with RunLock(tmp_path):
            assert f'"pid": {os.getpid()}' in (tmp_path / RUN_LOCK_FILE).read_text()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"pid": "x"}', '{"pid": 1, "host": 2, "start": 1e300}', "\xff" * 999])
def test_a_lock_file_that_says_nothing(text, tmp_path):
    (tmp_path / "lock").write_text(text)
    assert holder(tmp_path / "lock") == "its process is not known"


def test_what_a_lock_file_says_is_shown_safely(tmp_path):
    (tmp_path / "lock").write_text('{"pid": 3, "host": "\\u001b[2J' + "x" * 500 + '", "start": 0}')
    assert holder(tmp_path / "lock").isprintable()
    assert len(holder(tmp_path / "lock")) < 200


@pytest.mark.parametrize("lock", ["wait_for(Path({path!r}))", "exclusive({path!r})"])
def test_waiting_for_another_process(lock, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("mf_core.utils.locks._PATIENCE", 0.05)
    path = tmp_path / "lock"
    with Other(lock.format(path=str(path))) as process:
        os.kill(process.pid, signal.SIGSTOP)
        start = time.monotonic()
        killer = subprocess.Popen(["sh", "-c", f"sleep 0.4; kill -9 {process.pid}"])
        with wait_for(path) if lock.startswith("wait") else exclusive(path):
            assert time.monotonic() - start > 0.2
        killer.wait()
        assert f"process {process.pid} on" in caplog.text
