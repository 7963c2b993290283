"""``mf launch``: clusters of real processes, how they end, and what is left of them."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mf_core.cli import main
from mf_core.context import machine
from mf_core.context import subreaper as adoption
from mf_core.context.crash_report import exit_reason, log_excerpt
from mf_core.context.launch import Launch
from mf_core.context.log_tee import Echo

pytestmark = pytest.mark.slow

MF = [sys.executable, "-c", "import sys; from mf_core.cli import main; sys.exit(main())"]
CLUSTER_VARIABLES = ("MS_ROLE", "MS_WORKER_NUM", "MS_SCHED_HOST", "MS_SCHED_PORT", "MS_NODE_ID", "RANK_ID", "RANK_SIZE")
#: Where no cluster can be.
ELSEWHERE = ("--node-rank", "0", "--master", "no.such.machine.invalid", "--port", "18118")
#: A script's rank, without joining a cluster.
RANK = """
import os, signal, subprocess, sys, time
from pathlib import Path

if os.environ["MS_ROLE"] == "MS_SCHED":
    time.sleep(1000)
rank = int(os.environ["RANK_ID"])
here = Path(__file__).parent
"""
#: Joins the cluster.
JOIN = """
import sys
from mf_core import init_context

rank, size = init_context(use_parallel=True)
import numpy as np
from mindspore import Tensor, ops

def total():
    return float(ops.AllReduce()(Tensor(np.array([rank + 1.0], np.float32))).asnumpy()[0])
"""


def listen():
    """Take back what a background job's shell, or nohup, has had ignored; the launcher would ignore it too."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def launch(tmp_path):
    """Return a function that starts ``mf launch`` with a script in a separate folder; all is ended afterwards."""
    started = []

    def start(code, *arguments, script="script.py", options=("--workers", "2"), **variables):
        (tmp_path / script).write_text(textwrap.dedent(code), encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if name not in (*CLUSTER_VARIABLES, "DEVICE_ID")}
        process = subprocess.Popen(
            [*MF, "launch", *options, script, *arguments], cwd=tmp_path, env={**kept, **variables}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=listen,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
    wait_for(lambda: not running(tmp_path))


def running(folder):
    """Return the command lines of processes that work in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and Path(os.readlink(entry / "cwd")) == folder:
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def wait_for(condition, seconds=60):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def finished(process, code):
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    return out, err


# Clusters that work -------------------------------------------------------------------------------------------------

GREET = JOIN + """
print(rank, size, total(), sys.argv[1:], sys.executable)
print("to stderr", rank, file=sys.stderr)
import os
print(os.environ["MF_NUM_THREADS"], os.environ["OMP_NUM_THREADS"], rank)
"""


def test_two_launches_at_once_find_their_own(launch, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "python").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "other" / "python").chmod(0o755)
    path = f"{tmp_path / 'other'}{os.pathsep}{os.environ['PATH']}"
    arguments = ("--workers", "a b", "", "--", "*")
    first = launch(GREET, *arguments, script="a script.py", PATH=path, MF_NUM_THREADS="", OMP_NUM_THREADS="3")
    wait_for(lambda: (tmp_path / "output" / "msrun_log" / "worker_0.log").exists())
    second = launch(GREET, *arguments, script="a script.py", options=["--workers=2"], MF_NUM_THREADS="1")
    cores = len(os.sched_getaffinity(0))
    for process, folder, threads in ((first, "output/msrun_log", None), (second, "output/msrun_log-2", "1")):
        out, err = finished(process, 0)
        greeting, numbers = out.splitlines()
        assert greeting == f"0 2 3.0 {list(arguments)} {sys.executable}"
        assert 1 <= int(numbers.split()[0]) <= max(1, cores // 2)
        share = "" if threads else f", {numbers.split()[0]} thread"
        if process is first:
            assert numbers.split()[1:] == ["3", "0"]
            assert f"2 processes of a script.py{share}" in err
        assert err.splitlines()[0].endswith(f"; logs in {folder}")
        assert err.splitlines()[1:] == ["to stderr 0"]
        logs = {log.name: log.read_text() for log in (tmp_path / folder).glob("*.log")}
        assert sorted(logs) == ["scheduler.log", "worker_0.log", "worker_1.log"]
        for rank in (0, 1):
            assert logs[f"worker_{rank}.log"].startswith(f"{rank} 2 3.0 {list(arguments)}")
            assert f"to stderr {rank}" in logs[f"worker_{rank}.log"]
    wait_for(lambda: not running(tmp_path))


def test_output_is_shown_as_it_comes_and_a_new_launch_clears_old_logs(launch, tmp_path):
    (tmp_path / "logs").mkdir()
    for name in ("worker_7.log", "notes.log", ".lock"):  # the lock file is what a launch leaves
        (tmp_path / "logs" / name).touch()
    code = RANK.replace("time.sleep(1000)", "sys.exit()") + """
sys.stdout.write("half a line")
while rank == 0 and not (here / "go").exists():
    time.sleep(0.05)
print(", the other half", rank)
"""
    process = launch(code, options=("--workers", "2", "--log-dir", "logs"))
    assert process.stdout.read(11) == "half a line"
    assert process.poll() is None
    (tmp_path / "go").touch()
    out, err = finished(process, 0)
    assert out == ", the other half 0\n"
    assert err.count("\n") == 1
    assert {log.name for log in (tmp_path / "logs").glob("*.log")} == {
        "notes.log", "scheduler.log", "worker_0.log", "worker_1.log"
    }  # fmt: skip
    assert (tmp_path / "logs" / "worker_0.log").read_text() == "half a line, the other half 0\n"


# Workers that die ---------------------------------------------------------------------------------------------------


def test_a_worker_that_raises_ends_the_others_and_its_traceback_is_shown(launch, tmp_path):
    code = JOIN + """
print("sum", total(), flush=True)
if rank == 1:
    try:
        {}["key"]
    except KeyError as error:
        raise ValueError("the reason") from error
total()
"""
    out, err = finished(launch(code), 1)
    assert out == "sum 3.0\n"
    assert "mf launch: worker 1 exited with code 1; worker 0 was ended\n" in err
    assert "mf launch: from output/msrun_log/worker_1.log:\nTraceback (most recent call last):\n" in err
    assert "KeyError: 'key'" in err
    assert err.splitlines()[-1] == "ValueError: the reason"
    assert running(tmp_path) == []


@pytest.mark.parametrize(
    ("death", "code", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "was killed by SIGKILL, as the system does when memory runs out"),
        ("sys.exit(3)", 3, "exited with code 3"),
    ],
)
def test_the_first_that_died_is_named_not_those_that_fell_after_it(launch, tmp_path, death, code, words):
    script = RANK + f"""
if rank == 0:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("fallen"))
    subprocess.Popen(["sleep", "1000"])  # which nothing else would end
    (here / "ready").touch()
    time.sleep(1000)
while not (here / "ready").exists():
    time.sleep(0.05)
for line in range(30):
    print("line", line)
{death}
"""
    start = time.monotonic()
    _, err = finished(launch(script), code)
    assert f"mf launch: worker 1 {words}; worker 0 was ended\n" in err
    lines = err[err.index("worker_1.log:\n") :].splitlines()[1:]
    assert lines == [f"line {n}" for n in range(10, 30)]
    assert time.monotonic() - start < 60
    assert running(tmp_path) == []


# Ending the launcher ------------------------------------------------------------------------------------------------

#: Saves when it gets a signal; rank 1 ignores it, as a process does that waits for others.
SAVES = RANK + """
def save(number, frame):
    print("saving", number, flush=True)
    time.sleep(0.5)
    (here / f"saved {rank}").touch()
    sys.exit(128 + number)

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN if rank == 1 else save)
subprocess.Popen(["sleep", "1000"], start_new_session=True)
(here / f"ready {rank}").touch()
while True:
    time.sleep(0.1)
"""


def is_ready(folder):
    return all((folder / f"ready {rank}").exists() for rank in (0, 1))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_workers_save_and_ends_those_that_do_not_listen(launch, tmp_path, number):
    process = launch(SAVES, options=("--workers", "2", "--timeout", "2"))
    wait_for(lambda: is_ready(tmp_path))
    (os.kill if number == signal.SIGTERM else os.killpg)(process.pid, number)  # Ctrl-C goes to the terminal's group
    start = time.monotonic()
    out, err = finished(process, 128 + number)
    assert 1 < time.monotonic() - start < 30
    assert out == f"saving {number:d}\n"
    assert f"{number.name}: worker 0 and worker 1 must end within 2 s" in err
    assert "worker 1 did not end by itself, and was killed" in err
    assert "worker 0 did not" not in err
    assert {path.name for path in tmp_path.glob("saved*")} == {"saved 0"}
    assert running(tmp_path) == []


def test_a_second_signal_does_not_wait(launch, tmp_path):
    process = launch(SAVES, options=("--workers", "2", "--timeout", "500"))
    wait_for(lambda: is_ready(tmp_path))
    process.terminate()
    wait_for(lambda: (tmp_path / "saved 0").exists())
    process.terminate()
    finished(process, 143)
    assert running(tmp_path) == []


def test_a_terminal_that_closes_lets_workers_save(launch, tmp_path):
    process = launch(SAVES, options=("--workers", "2", "--timeout", "2"))
    wait_for(lambda: is_ready(tmp_path))
    for stream in (process.stdout, process.stderr):
        stream.close()
    process.send_signal(signal.SIGHUP)
    time.sleep(0.1)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 128 + signal.SIGHUP
    assert (tmp_path / "saved 0").exists()
    assert running(tmp_path) == []


def test_a_signal_between_two_handlers_is_not_lost(monkeypatch):
    plain = signal.signal

    def interrupted(number, handler):
        before = plain(number, handler)
        if number == signal.SIGINT and handler is not before and callable(handler) and not sent:
            sent.append(os.kill(os.getpid(), signal.SIGINT))
        return before

    sent = []
    plain(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(adoption.signal, "signal", interrupted)
    with adoption.caught_signals() as events:
        assert os.read(events, 8) == bytes([signal.SIGINT])


def test_a_signal_while_processes_are_being_started(launch, tmp_path):
    process = launch(SAVES)
    assert "2 processes" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    finished(process, 130)
    assert running(tmp_path) == []


def test_a_launcher_that_is_killed_leaves_nothing_behind(launch, tmp_path):
    process = launch(SAVES, options=("--workers", "2", "--timeout", "2"))
    wait_for(lambda: is_ready(tmp_path))
    assert len(running(tmp_path)) >= 7  # launcher, guard, scheduler, workers, and what they started
    process.kill()
    process.wait()
    wait_for(lambda: not running(tmp_path), 30)
    assert (tmp_path / "saved 0").exists()
    assert (tmp_path / "output" / "msrun_log" / "worker_0.log").read_text() == "saving 15\n"


def test_a_reader_that_has_had_enough_ends_it(launch, tmp_path):
    process = launch(RANK + "while True:\n    print('more', flush=True)\n    time.sleep(0.05)\n")
    assert process.stdout.readline() == "more\n"
    process.stdout.close()
    assert process.wait(60) == 128 + signal.SIGPIPE
    assert running(tmp_path) == []


# Mistakes -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.py").write_text("raise SystemExit('this should not run')")
    return "script.py"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["nowhere.py"], ["MF301", "nowhere.py", "mf launch --workers 2 script.py"]),
        (["--workers", "0", "script.py"], ["MF202", "--workers 0 is less than 1", "--workers 1 or more"]),
        (["--workers", "1000000", "script.py"], ["1000000 processes do not fit", "GB of memory", "--workers "]),
        (["--timeout", "nan", "script.py"], ["--timeout nan is less than 0"]),
        (["--port", "80", "script.py"], ["--port 80 is not from 1024 to 65535", "leave --port out"]),
        (["--log-dir", "script.py", "script.py"], ["logs cannot be written to 'script.py'", "name a --log-dir"]),
        (
            ["--workers", "4", "--local-workers", "2", "--node-rank", "1", "script.py"],
            ["needs --master and --port too", "--master ADDRESS"],
        ),
        (
            ["--workers", "2", "--local-workers", "4", *ELSEWHERE, "script.py"],
            ["--local-workers 4 is more than --workers 2", "all machines"],
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_what_to_type(script, capsys, options, words):
    assert main(["launch", *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mf: ")
    for word in words:
        assert word in err


def test_a_port_that_is_taken(script, capsys):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert main(["launch", "--port", str(port), script]) == 2
    err = capsys.readouterr().err
    assert f"--port {port} cannot be used" in err
    assert "another program listens at it" in err


def test_a_folder_of_logs_that_is_in_use(script, capsys):
    with machine.log_folder("logs"):
        assert main(["launch", "--log-dir", "logs", script]) == 2
    assert "--log-dir 'logs' is in use by another mf launch" in capsys.readouterr().err
    Path("mine").mkdir()
    Path("mine/worker_0.log").write_text("mine")
    assert main(["launch", "--log-dir", "mine", script]) == 2
    assert "holds logs of another program" in capsys.readouterr().err
    assert Path("mine/worker_0.log").read_text() == "mine"


def test_without_msrun_the_package_to_install_is_named(script, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(machine.sysconfig, "get_path", lambda *_: str(tmp_path))
    assert main(["launch", script]) == 2
    err = capsys.readouterr().err
    assert "MF106" in err
    assert "there is no msrun" in err
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: None)
    assert main(["launch", script]) == 2
    assert "pip install" in capsys.readouterr().err


def test_msrun_that_fails_is_reported(launch):
    _, err = finished(launch("", options=["--workers", "2", "--local-workers", "1", *ELSEWHERE]), 2)
    assert "mf: [MF401] msrun exited with code 1, with 0 of 1 processes started\n  why: RuntimeError: " in err


# Without processes --------------------------------------------------------------------------------------------------


def test_what_msrun_is_called_with():
    one = Launch("python", ("a", "--b"), workers=3)
    assert one.msrun_arguments(3, 9000, Path("logs")) == [
        "--worker_num=3", "--local_worker_num=3", "--master_port=9000", "--log_dir=logs", "./python", "a", "--b"
    ]  # fmt: skip
    several = Launch("s.py", workers=16, local_workers=8, master="10.0.0.1", port=9000, node_rank=1)
    assert several.msrun_arguments(16, 9000, Path("logs")) == [
        "--worker_num=16", "--local_worker_num=8", "--master_addr=10.0.0.1", "--node_rank=1", "--master_port=9000",
        "--log_dir=logs", "s.py",
    ]  # fmt: skip


def test_mindspores_lines_of_information_are_kept_from_the_screen(tmp_path):
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    noise = b"[INFO] DISTRIBUTED(1,7f,python):2026 started\n"
    with open(tmp_path / "shown", "w+b") as shown, open(tmp_path / "log", "w+b") as log:
        echo = Echo(reader, shown, log)
        sent = b"one\n" + noise + b"two" + noise + b"\rbar" + b"\n[INFO] other\n[INFO] DIST"
        for start in range(0, len(sent), 5):
            os.write(writer, sent[start : start + 5])
            assert echo.copy()
        echo.finish()
        shown.seek(0)
        log.seek(0)
        assert shown.read() == sent.replace(b"\n" + noise, b"\n")
        assert log.read() == sent
    os.close(reader)
    os.close(writer)


def test_last_words(tmp_path):
    log = tmp_path / "log"
    assert log_excerpt(log, 1) == []
    early = "Traceback (most recent call last):\n  early\nOSError: handled\nand on\n"
    cause = "Traceback (most recent call last):\n  a\nKeyError: 1\n\nDuring handling of the above exception, …\n\n"
    last = "Traceback (most recent call last):\n  b\nValueError: 2\n"
    noise = "[ERROR] ANALYZER(12,7f,python): text\n"
    log.write_text(early + cause + last + noise + "\n")
    assert log_excerpt(log, 1) == (cause + last).splitlines()
    assert log_excerpt(log, -11)[0] == early.splitlines()[0]
    log.write_text("Traceback (most recent call last):\n" + "  deep\n" * 500 + "RecursionError: too deep\n")
    words = log_excerpt(log, 1)
    assert len(words) == 101
    assert words[50] == "… 402 lines …"
    assert (words[0], words[-1]) == ("Traceback (most recent call last):", "RecursionError: too deep")
    log.write_text("progress 1\rprogress 2\rprogress 3\ndone")
    assert log_excerpt(log, 3) == ["progress 3", "done"]
    assert exit_reason(-signal.SIGSEGV) == "was killed by SIGSEGV"


def test_a_training_run_of_the_command_line(tmp_path):
    """``mf launch mf train``: the processes train together, and the first one tells what came of it."""
    stories = "\n".join(f"one two three {n} four five" for n in range(200))
    (tmp_path / "stories.txt").write_text(stories, encoding="utf-8")
    (tmp_path / "run.yaml").write_text(
        "model: gpt2_tiny\ntrain_dataset: stories.txt\noutput_dir: out\nmax_steps: 2\nmax_seq_length: 32\n"
        "per_device_train_batch_size: 2\nlogging_steps: 1\nsave_strategy: 'no'\nparallel:\n  data_parallel: 2\n"
        "  optimizer_shard: true\n",
        encoding="utf-8",
    )  # fmt: skip
    mf = str(Path(sys.executable).with_name("mf"))
    command = [mf, "launch", "--workers", "2", "--log-dir", "logs", mf, "train", "--config", "run.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("2 steps, ") == 1
    assert (tmp_path / "out" / "model.safetensors").is_file()
