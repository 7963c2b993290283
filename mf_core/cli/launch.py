"""``mf launch``: a script as a cluster of processes."""

from __future__ import annotations

import argparse
from typing import Any


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    launch = commands.add_parser(
        "launch",
        help="run a script as a cluster of processes",
        usage="mf launch [options] SCRIPT [ARGUMENTS ...]",
        description="Runs a Python script in several processes, which find each other by init_context(use_parallel="
        "True). Shows the first one's output, keeps all output in the folder of logs, and when one process fails, ends "
        "the others and shows its traceback. Exit code: 0; that of the first worker that failed; 128 plus a signal's "
        "number.",
    )
    launch.add_argument("--workers", type=int, metavar="N", help="processes (default: one for each device; on CPU 2)")
    launch.add_argument("--log-dir", metavar="DIR", help="folder of the logs (default: output/msrun_log)")
    launch.add_argument("--port", type=int, metavar="P", help="where they find each other (default: a free port)")
    launch.add_argument(
        "--timeout", type=float, default=30.0, metavar="S",
        help="seconds that the processes have to save and end in after SIGTERM or Ctrl-C (default: 30)",
    )  # fmt: skip
    several = launch.add_argument_group("several machines", "the same command on each, with another --node-rank")
    several.add_argument("--local-workers", type=int, metavar="M", help="how many of the N run on this machine")
    several.add_argument("--master", metavar="ADDRESS", help="the machine with --node-rank 0")
    several.add_argument("--node-rank", type=int, metavar="R", help="this machine's number, from 0")
    launch.add_argument("script", metavar="SCRIPT", help="the Python file")
    launch.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENTS", help="the script's own")
    launch.set_defaults(run=run_launch)


def run_launch(options: argparse.Namespace) -> int:
    """Run the cluster to its end."""
    from ..context.launch import Launch

    return Launch(
        script=options.script, arguments=tuple(options.arguments), workers=options.workers, log_dir=options.log_dir,
        port=options.port, timeout=options.timeout, local_workers=options.local_workers, master=options.master,
        node_rank=options.node_rank,
    ).run()  # fmt: skip
