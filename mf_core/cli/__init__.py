"""The command ``mf``.

Exit codes: 0 done; 1 ``mf doctor`` or ``mf ckpt inspect`` found a fault; 2 a mistake in what was asked; 130
interrupted. Those of ``mf launch`` are its script's.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from ..errors import MFError, printable
from ..utils.console import say
from ..utils.deprecation import MFDeprecationWarning
from . import chat, ckpt, convert, data, doctor, env, generate, launch, listing, plan, report, run, train, wording

COMMANDS = (generate, chat, run, train, launch, plan, report, data, convert, ckpt, listing, doctor, env)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``mf`` with ``argv`` (default: the process's arguments) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # characters that the encoding lacks are escaped, not an error
            stream.reconfigure(errors="backslashreplace")
    parser = argparse.ArgumentParser(prog="mf", description="Large models on MindSpore, from plugins.")
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    arguments = sys.argv[1:] if argv is None else argv
    for module in COMMANDS:
        if module in (generate, chat):
            module.add_commands(commands, complete=bool({"generate", "chat"} & set(arguments)))
        else:
            module.add_commands(commands)
    options = parser.parse_args(arguments)
    if options.version:
        print(env.version_of("mf-framework") or "not installed")
        return 0
    if not hasattr(options, "run"):
        parser.print_help()
        return 2
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    warnings.filterwarnings("default", category=MFDeprecationWarning)  # Python hides it, and users are here
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except MFError as error:
        say(f"mf: {wording.message(error, wording.parser_of(parser, options.run))}")
        return 2
    except KeyboardInterrupt:
        say("")
        return 130
    except BrokenPipeError:  # the reader (`head`, say) has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _show_warning(message: Any, category: type[Warning], *_: Any) -> None:
    lines = [printable(line, 4000) for line in str(message).split("\n")]
    say("mf: warning: " + "\n".join(lines))
