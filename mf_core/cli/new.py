"""``mf plugins new``: a repository for a plugin of your own."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

KINDS = ("model", "tokenizer", "processor", "task", "backend")


def add_commands(commands: Any) -> None:
    """Add the command to the parser of ``mf plugins``."""
    new = commands.add_parser(
        "new",
        help="write a repository for a plugin of your own",
        description="Writes a repository that installs, passes its tests and `mf plugins check` as it is, and is yours "
        "to change.",
    )
    new.add_argument("name", help="what it is called: letters gives the distribution mf-letters, package mf_letters")
    new.add_argument("--kind", choices=KINDS, default="model", help="what it brings (default: model)")
    new.add_argument("--directory", default=".", metavar="DIR", help="the folder to write it into (default: here)")
    new.add_argument(
        "--license", default="Apache-2.0", metavar="ID", help="Apache-2.0 (default), MIT, BSD-3-Clause or none"
    )
    new.add_argument("--author", metavar="WHO", help="'Ada Lovelace' or 'Ada Lovelace <ada@example.org>'")
    new.set_defaults(run=run_new)


def run_new(options: argparse.Namespace) -> int:
    """Write the repository, and say what to type next."""
    import datetime

    from ..template import Names, render
    from .env import version_of

    names = Names.of(options.name)
    texts = render(
        names, options.kind, license=options.license, author=options.author,
        year=datetime.date.today().year, core=version_of("mf-framework") or "0.1",
    )  # fmt: skip
    folder = Path(os.path.expanduser(options.directory)) / names.distribution
    write_repository(folder, texts)
    print(f"{folder} is a plugin with the {options.kind} {names.name!r}: {len(texts)} files. Next, type\n")
    for command, what in _next_steps(names, options.kind, folder):
        print(f"    {command:<40}{'# ' + what if what else ''}".rstrip())
    return 0


def write_repository(folder: Path, texts: dict[str, str]) -> None:
    """Write a new folder atomically.

    Args:
        folder: Where to; it must not exist, and the folders above it are made.
        texts: Path in the folder -> text.

    Raises:
        ArgumentError: There is something of that name already, or the folder cannot be written.
    """
    from ..errors import ArgumentError

    if os.path.lexists(folder):
        raise ArgumentError(
            f"{str(folder)!r} exists already", value=str(folder), why="nothing is ever written over",
            hint="choose another name, remove it, or pass --directory DIR",
        )  # fmt: skip
    made = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        for name, text in texts.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        made.chmod(0o777 & ~_umask())
        made.rename(folder)
    except OSError as error:
        raise ArgumentError(
            f"{str(folder)!r} cannot be written", value=str(folder), why=error.strerror or str(error),
            hint="pass --directory DIR, a folder that you may write to",
        ) from error  # fmt: skip
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _next_steps(names: Any, kind: str, folder: Path) -> list[tuple[str, str]]:
    """Return the next commands, with a description of each."""
    use = {
        "model": [
            ("mf train --config train.yaml", "a minute: learns the text in train.jsonl"),
            ('mf generate --model ./trained "The"', "and says it"),
        ],
        "backend": [(f"mf doctor --backend {names.name}", "what it finds on this machine")],
    }.get(kind, [])
    return [
        (f"cd {shlex.quote(str(folder))}", ""),
        ('pip install -e ".[test]"', "where you develop"),
        ("pytest", "its tests, and the conformance kit's"),
        (f"mf plugins check {names.distribution}", "the kit alone, as a report"),
        *use,
        ("cat README.md", "how it is used, and what to change"),
    ]
