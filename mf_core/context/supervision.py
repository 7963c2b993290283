"""The life of a cluster's processes: msrun starts them, the launcher adopts them and sees each of them end.

msrun watches processes too, but it kills the others the moment that one dies, does not tell which died first, and
leaves them running when it is ended itself. So it is asked to start them, no more. What it finds instead of ``python``
is a script that holds each process until msrun has ended and the launcher has become its parent. From then on none can
end without the launcher learning how.
"""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import BackendError
from . import guard
from .crash_report import exit_reason, log_excerpt
from .log_tee import Echo, abandon
from .subreaper import Scratch, adopting, caught_signals, guarded

#: Seconds that the others have to end in when a worker has died.
GRACE = 3.0
#: Seconds that workers have, when the scheduler has failed, to fail first; and that it has to end in after them.
SCHEDULER_GRACE = 10.0


def say(text: str, *lines: str) -> None:
    """Print a line of the launcher's own, and lines that it quotes; does nothing where they cannot be read."""
    try:
        print(f"mf launch: {text}", *lines, sep="\n", file=sys.stderr, flush=True)
    except OSError:
        abandon(sys.stderr.fileno())


@dataclass
class Process:
    """One process of the cluster.

    Attributes:
        pid: Its number in the system.
        name: For people: ``"worker 1"``.
        log: The file that its output is in.
        code: How it ended, as of :class:`subprocess.Popen`; None: it has not.
    """

    pid: int
    name: str
    log: Path
    code: int | None = None

    def look(self, flags: int = os.WNOHANG) -> bool:
        """Return whether the process has ended since the last look."""
        if self.code is not None:
            return False
        pid, status = os.waitpid(self.pid, flags)
        if pid:
            self.code = os.waitstatus_to_exitcode(status)
        return bool(pid)


class Supervisor:
    """Starts a cluster's processes and waits until all have ended.

    Args:
        command: That of msrun.
        variables: To set in the processes' environment.
        ranks: Of the processes that msrun starts here.
        folder: Where msrun puts the logs.
        lock: A descriptor that is to stay open as long as processes may write there.
        timeout: Seconds for the processes to end after the launcher is asked to stop.
    """

    def __init__(
        self, command: Sequence[str], variables: Mapping[str, str], ranks: range, folder: Path, lock: int,
        timeout: float,
    ) -> None:  # fmt: skip
        self.command, self.ranks, self.folder, self.lock = list(command), ranks, folder, lock
        self.timeout = timeout
        self.environment = {**os.environ, **variables, guard.MARK: secrets.token_hex(8)}
        self.workers: list[Process] = []
        self.scheduler: Process | None = None
        self.asked: list[int] = []
        self.echoes: list[Echo] = []

    def run(self) -> int:
        """Start them, and return the launcher's exit code when all have ended.

        Raises:
            BackendError: msrun fails.
        """
        with ExitStack() as stack:
            stack.enter_context(adopting())
            self.events = stack.enter_context(caught_signals())
            scratch = stack.enter_context(Scratch(shows_first=0 in self.ranks))
            log = self.folder / "worker_0.log"
            if scratch.pipes:
                kept = stack.enter_context(open(log, "ab"))
                streams = sys.stdout.buffer, sys.stderr.buffer
                self.echoes = [Echo(pipe, stream, kept) for pipe, stream in zip(scratch.pipes, streams, strict=True)]
            self.selector = stack.enter_context(selectors.DefaultSelector())
            for descriptor in (self.events, *scratch.pipes):
                self.selector.register(descriptor, selectors.EVENT_READ)
            mark = self.environment[guard.MARK]
            arguments = [mark, str(self.timeout), str(scratch.folder), str(log), *map(str, scratch.pipes)]
            tell_guard = stack.enter_context(guarded(arguments, (*scratch.pipes, self.lock)))
            stack.callback(self._end, [], 0)
            if not self._start(scratch):
                return self._handle_signal()
            tell_guard([worker.pid for worker in self.workers])
            scratch.open_gate()
            return self._watch()

    def _start(self, scratch: Scratch) -> bool:
        """Let msrun start the processes, and adopt them; tell whether that was not called off."""
        said = scratch.folder / "msrun.log"
        with open(said, "wb") as file:
            path = f"{scratch.folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
            msrun = subprocess.Popen(
                self.command, env={**self.environment, "PATH": path}, stdin=subprocess.DEVNULL, stdout=file,
                stderr=subprocess.STDOUT, start_new_session=True,  # a terminal's Ctrl-C is the launcher's alone
            )  # fmt: skip
        found: dict[int, int] = {}
        while msrun.poll() is None:
            self._wait()
            if self.asked:
                return False
        for pid in guard.members(self.environment[guard.MARK]):
            variables = guard.environment(pid)
            if variables.get("MS_ROLE") == "MS_SCHED":
                self.scheduler = Process(pid, "the scheduler", self.folder / "scheduler.log")
            elif variables.get("MS_ROLE") == "MS_WORKER":
                found[self.ranks[int(variables["DEVICE_ID"])]] = pid
        if msrun.returncode or len(found) != len(self.ranks):
            words = log_excerpt(said, msrun.returncode)
            raise BackendError(
                f"msrun {exit_reason(msrun.returncode)}, with {len(found)} of {len(self.ranks)} processes started",
                value=msrun.returncode, why=words[-1] if words else None,
            )  # fmt: skip
        self.workers = [
            Process(found[rank], f"worker {rank}", self.folder / f"worker_{rank}.log") for rank in self.ranks
        ]
        return True

    def _watch(self) -> int:
        """Return the exit code when the cluster has ended, one way or another."""
        scheduler, limit = self.scheduler, float("inf")
        while not self.asked:
            died = [worker for worker in self.workers if worker.look() and worker.code]
            if died:
                return self._handle_exit(died)
            if all(worker.code == 0 for worker in self.workers):
                return self._shut_down()
            if scheduler and scheduler.look() and scheduler.code:
                limit = time.monotonic() + SCHEDULER_GRACE  # what it fails of may be what a worker fails of
            if scheduler and time.monotonic() > limit:
                return self._handle_exit([scheduler])
            self._wait()
        return self._handle_signal()

    def _shut_down(self) -> int:
        """Wait for the scheduler; end what the workers have left running."""
        limit = time.monotonic() + SCHEDULER_GRACE
        while self.scheduler and not self.asked and time.monotonic() < limit:
            self.scheduler.look()
            if self.scheduler.code is not None:
                break
            self._wait()
        return 0

    def _handle_exit(self, died: Sequence[Process]) -> int:
        """End the others, and report how each process ended. The first of ``died`` is the likely cause."""
        first, *also = died
        others = [worker for worker in self.workers if worker.code is None]
        self._end([worker.pid for worker in others], GRACE)
        ended = f"; {_names(others)} {'was' if len(others) == 1 else 'were'} ended" if others else ""
        say(f"{first.name} {exit_reason(first.code or 0)}{ended}")
        for process in also:
            say(f"{process.name} {exit_reason(process.code or 0)} at the same time; see {process.log}")
        self._quote(first)
        return _shell_code(first.code or 0)

    def _handle_signal(self) -> int:
        """Pass a signal on, and return the launcher's exit code when all have ended."""
        number = self.asked[0]
        name = signal.Signals(number).name
        running = [worker for worker in self.workers if worker.code is None]
        if running:
            seconds = f"within {self.timeout:g} s; SIGINT or SIGTERM now ends them at once"
            say(f"{name}: {_names(running)} must end {seconds}")
        # Ctrl-C is the workers' too, so that they raise KeyboardInterrupt or call the handler that the script has set.
        passed = signal.SIGINT if number == signal.SIGINT else signal.SIGTERM
        killed = self._end([worker.pid for worker in running], self.timeout, passed)
        for worker in running:
            if worker.pid in killed:
                say(f"{worker.name} did not end by itself, and was killed")
            elif worker.code not in (0, -passed, 128 + passed):
                say(f"{worker.name} {exit_reason(worker.code or 0)}")
                self._quote(worker)
        return 128 + number

    def _quote(self, process: Process) -> None:
        words = log_excerpt(process.log, process.code or 0)
        say(f"from {process.log}:" if words else f"it has left no word in {process.log}", *words)

    def _end(self, workers: Iterable[int], grace: float, number: int = signal.SIGTERM) -> set[int]:
        """End all processes; return the workers that had to be killed. One more SIGINT or SIGTERM ends the patience.

        One more SIGHUP does not: of a terminal that closes, shell and system send one each.
        """
        signals = len(self.asked)

        def meanwhile() -> bool:
            self._wait(0)
            return any(number in (signal.SIGINT, signal.SIGTERM) for number in self.asked[signals:])

        killed = guard.end(self.environment[guard.MARK], workers, grace, meanwhile, number)
        for process in self.workers:
            process.look(0)
        for echo in self.echoes:
            echo.finish()
        return killed

    def _wait(self, seconds: float = 1.0) -> None:
        """Wait for a signal or output, and take note of it."""
        self.selector.select(seconds)
        with suppress(BlockingIOError):
            self.asked += [number for number in os.read(self.events, 1 << 10) if number != signal.SIGCHLD]
        for echo in self.echoes:
            if not echo.copy():
                self.asked.append(signal.SIGPIPE)


def _names(processes: Sequence[Process]) -> str:
    if len(processes) > 4:
        return f"{len(processes)} workers"
    return " and ".join(process.name for process in processes)


def _shell_code(code: int) -> int:
    """Return a process's code as shells give it."""
    return 128 - code if code < 0 else code
