"""``mf launch``: a cluster of processes of a script, started by MindSpore's ``msrun`` and supervised to its end."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ..backends.base import select_backend
from ..errors import ArgumentError, FileMissingError, UnsupportedError
from .machine import check_port, check_resources, find_msrun, free_port, log_folder, thread_variables
from .supervision import Supervisor, say


@dataclass(frozen=True)
class Launch:
    """What to start.

    Attributes:
        script: The Python file.
        arguments: The script's.
        workers: Processes in the cluster; None: as many as there are devices, and 2 on CPU.
        log_dir: Folder of the logs; None: ``output/msrun_log``, or a like name that no other launch uses. Logs of
            earlier launches in it are deleted.
        port: That the processes find each other at, 1024 to 65535; None: one that is free.
        timeout: Seconds that the processes have to end in after a SIGTERM or Ctrl-C.
        local_workers: Those of the processes that run on this machine; None: all.
        master: Address of the machine with ``node_rank`` 0.
        node_rank: This machine's number, from 0.
    """

    script: str
    arguments: tuple[str, ...] = ()
    workers: int | None = None
    log_dir: str | None = None
    port: int | None = None
    timeout: float = 30.0
    local_workers: int | None = None
    master: str | None = None
    node_rank: int | None = None

    def run(self) -> int:
        """Start the processes, pass on rank 0's output, and return when all have ended.

        Till then the calling process adopts what its descendants leave behind, and handles SIGINT, SIGTERM and SIGHUP.
        It has to be called in the main thread.

        Returns:
            0; or the code of the first worker that failed, 128 plus the signal's number where a signal killed it; or
            128 plus the number of the signal that this process got.

        Raises:
            ArgumentError: What is asked for does not go together, or not with this machine.
            FileMissingError: There is no such script.
            BackendError: No device backend is available, or msrun fails.
            NotInstalledError: There is no msrun.
            UnsupportedError: The system is not Linux.
        """
        if sys.platform != "linux":
            raise UnsupportedError(f"mf launch needs Linux; this is {sys.platform}", value=sys.platform)
        self.check()
        backend = select_backend()
        probe = backend.probe()
        workers = self.workers or (2 if backend.name == "cpu" else max(1, probe.device_count))
        local = self.local_workers or workers
        check_resources(local, backend.name, probe)
        msrun = find_msrun()
        variables = thread_variables(local, probe)
        first = local * (self.node_rank or 0)
        with log_folder(self.log_dir) as (folder, lock):
            port = free_port() if self.port is None else self.port
            command = [sys.executable, str(msrun), *self.msrun_arguments(workers, port, folder)]
            supervisor = Supervisor(command, variables, range(first, first + local), folder, lock, self.timeout)
            say(self._plan(local, variables.get("MF_NUM_THREADS"), folder))
            return supervisor.run()

    def check(self) -> None:
        """Raise ArgumentError or FileMissingError for invalid options."""
        if not Path(self.script).is_file():
            raise FileMissingError(
                f"there is no script {self.script!r}", value=self.script,
                hint="mf launch --workers 2 script.py: options come before the script, its own arguments after it",
            )  # fmt: skip
        for name, value, least in (
            ("workers", self.workers, 1), ("local-workers", self.local_workers, 1), ("node-rank", self.node_rank, 0),
            ("timeout", self.timeout, 0),
        ):  # fmt: skip
            if value is not None and not value >= least:
                hint = f"--{name} {least} or more"
                raise ArgumentError(f"--{name} {value} is less than {least}", value=value, hint=hint)
        if any(value is not None for value in (self.local_workers, self.master, self.node_rank)):
            self._check_machines()
        if self.port is not None:
            check_port(self.port, here=not self.node_rank)

    def _check_machines(self) -> None:
        needed = {
            "--workers": self.workers, "--local-workers": self.local_workers, "--master": self.master,
            "--port": self.port, "--node-rank": self.node_rank,
        }  # fmt: skip
        missing = [name for name, value in needed.items() if value is None]
        if missing:
            raise ArgumentError(
                f"a cluster over several machines needs {' and '.join(missing)} too", value=missing,
                hint="mf launch --workers 16 --local-workers 8 --master ADDRESS --port 8118 --node-rank 0 script.py",
            )  # fmt: skip
        if (self.local_workers or 0) > (self.workers or 0):
            raise ArgumentError(
                f"--local-workers {self.local_workers} is more than --workers {self.workers}",
                value=self.local_workers, hint="--workers is the number of processes on all machines together",
            )  # fmt: skip

    def msrun_arguments(self, workers: int, port: int, folder: Path) -> list[str]:
        """Return what msrun is called with."""
        options = {
            "worker_num": workers, "local_worker_num": self.local_workers or workers, "master_addr": self.master,
            "node_rank": self.node_rank, "master_port": port, "log_dir": folder,
        }  # fmt: skip
        given = [f"--{name}={value}" for name, value in options.items() if value is not None]
        is_command = self.script in ("python", "python3", "pytest")  # which msrun would look for on PATH
        return [*given, os.path.join(".", self.script) if is_command else self.script, *self.arguments]

    def _plan(self, local: int, threads: str | None, folder: Path) -> str:
        share = f", {threads} thread{'s' if threads != '1' else ''} each" if threads else ""
        many = f"{local} processes" if local > 1 else "one process"
        return f"{many} of {self.script}{share}; logs in {folder}"
