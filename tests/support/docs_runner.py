"""Runs the blocks of documentation pages, a page after the other, in one process; says what went wrong.

``python docs_runner.py`` reads ``[{"page": …, "blocks": […], "folder": …, "alone": bool}]`` from standard input and
prints ``[[location, what], …]``. Each page has a folder and its own names. Python runs here, as does ``mf`` where a
line has nothing for a shell; other commands run in bash, where ``cd`` holds for the blocks after it. Nothing is
fetched: ``pip install`` checks what is named. The model that pages use is a smaller one of the same name, and training
ends after two steps of short rows. ``alone``: everything runs in processes of the page's own, found on ``PATH``.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import subprocess
import sys
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

#: What takes a separate process, or starts some, or looks at the process.
_OWN_PROCESS = ("launch", "doctor", "plugins", "env")
_SHELL = re.compile(r"[|&;<>$`*?~\\]")
#: What the title of a block ends with that goes on with a file.
CONTINUED = " (continued)"
_STEPS, _POSITIONS = 2, 16


class Failed(Exception):
    """A block did not do what its page says."""


class Page:
    """A page that is being run."""

    def __init__(self, folder: Path, alone: bool) -> None:
        self.folder = folder
        self.where = Path(f"{folder}.where")
        self.alone = alone
        self.names: dict[str, Any] = {"__name__": "__main__", "stories": write_stories}

    def run(self, block: dict[str, Any]) -> None:
        """Run a block, or write the file that it is."""
        os.chdir(self.folder)
        language, text = block["language"], block["text"]
        if block["title"]:
            path = Path(block["title"].removesuffix(CONTINUED))
            path.parent.mkdir(parents=True, exist_ok=True)
            before = f"{path.read_text(encoding='utf-8')}\n\n" if block["title"].endswith(CONTINUED) else ""
            path.write_text(before + text, encoding="utf-8")
        elif language in ("python", "setup"):
            self._python(text)
        elif language == "bash":
            self._command(text, "", 0)
        elif language == "console":
            code = int(block["notes"].get("exit", 0))
            commands = split_console(text)
            for number, (command, output) in enumerate(commands, 1):
                self._command(command, output, code if number == len(commands) else 0)

    def _python(self, text: str) -> None:
        if self.alone:
            self._command(f"python - <<'END_OF_BLOCK'\n{text}END_OF_BLOCK", "", 0)
        elif text.startswith(">>> "):
            test = doctest.DocTestParser().get_doctest(text, self.names, "block", None, 0)
            report = io.StringIO()
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
            if runner.run(test, out=report.write, clear_globs=False).failed:
                raise Failed(report.getvalue())
            self.names.update(test.globs)
        else:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(text, "<block>", "exec"), self.names)

    def _command(self, command: str, output: str, wanted: int) -> None:
        words = command.split()
        if words[:2] == ["pip", "install"] and "\n" not in command.strip().replace("\\\n", " ") and not self.alone:
            check_install(shlex.split(command.replace("\\\n", " "))[2:])
            return
        if words[0] == "mf" and words[1] not in _OWN_PROCESS and not _SHELL.search(command) and not self.alone:
            code, shown = run_mf(shlex.split(command)[1:])
        else:
            code, shown = self._bash(command)
        if code != wanted:
            raise Failed(f"$ {command}\nended with the exit code {code}, not {wanted}:\n{shown[-4000:]}")
        if output.strip() and not fits(output, shown):
            raise Failed(f"$ {command}\nshould print\n{output}\nand printed\n{shown[-4000:]}")

    def _bash(self, command: str) -> tuple[int, str]:
        script = f"set -e -o pipefail\n{command}\npwd > {shlex.quote(str(self.where))}\n"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL, text=True, timeout=1200,
        )  # fmt: skip
        if self.where.exists():
            self.folder = Path(self.where.read_text(encoding="utf-8").strip())
            self.where.unlink()
        return done.returncode, done.stdout


def check_install(arguments: list[str]) -> None:
    """Fail unless each thing to install, which is not fetched here, is a folder of ours or has a name that exists."""
    for item in arguments:
        name = re.match(r"[\w.-]+", item)
        if item.startswith("."):
            if not (ROOT / item / "pyproject.toml").is_file():
                raise Failed(f"pip install {item}: that is no project")
        elif name and not item.startswith("-"):
            try:
                metadata.version(name[0])
            except metadata.PackageNotFoundError:
                raise Failed(f"pip install {item}: {name[0]} is not among the packages that the project uses") from None


def split_console(text: str) -> list[tuple[str, str]]:
    """Return the commands of a console block (``$ …``, going on after a backslash), each with what it prints."""
    found: list[list[str]] = []
    goes_on = False
    for line in text.splitlines():
        if goes_on:
            found[-1][0] += "\n" + line.removeprefix("> ")
        elif line.startswith("$ "):
            found.append([line[2:], ""])
        else:
            found[-1][1] += line + "\n"
            continue
        goes_on = line.endswith("\\")
    return [(command, output) for command, output in found]


def fits(wanted: str, shown: str) -> bool:
    """Return whether what was printed is as shown, where ``…`` stands for anything, and spaces do not count."""
    pattern = r"\s+".join(re.escape(word).replace("…", ".*?") for word in wanted.split())
    return re.search(rf"(?:^|\s){pattern}(?:\s|$)", shown.strip(), re.DOTALL) is not None


def run_mf(arguments: list[str]) -> tuple[int, str]:
    """Run ``mf`` in this process and return its exit code and what it printed."""
    import warnings

    from mf_core.cli import main

    shown, show_warning = io.StringIO(), warnings.showwarning
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            code = main(arguments)
    except SystemExit as stop:  # argparse's
        code = int(stop.code or 0)
    finally:
        warnings.showwarning = show_warning
    return code, shown.getvalue()


def write_stories(path: str) -> None:
    """Write texts for training, for the ``setup`` of pages."""
    text = "Once upon a time fox number {} met an owl in the wood, and they went on together. "
    lines = (json.dumps({"text": text.format(number) * 6}) + "\n" for number in range(100))
    Path(path).write_text("".join(lines), encoding="utf-8")


def write_one_layer(folder: Path) -> None:
    """Write a ``gpt2_tiny`` of one layer, for the variable ``MF_MODELS``: it compiles in a third of the time."""
    from mf_core import AutoConfig, AutoModel, AutoTokenizer

    AutoModel.from_config(AutoConfig.from_pretrained("gpt2_tiny", num_layers=1)).save_pretrained(folder / "gpt2_tiny")
    AutoTokenizer.from_pretrained("gpt2_tiny").save_pretrained(folder / "gpt2_tiny")


def shorten_training() -> None:
    """Let every run of the Trainer end after a few steps."""
    from mf_core import Trainer

    train = Trainer.train

    def short(self: Any, *arguments: Any, **options: Any) -> Any:
        steps = self.args.max_steps
        self.args.max_steps = _STEPS if steps < 0 else min(steps, _STEPS)
        self.args.max_seq_length = self.args.max_seq_length or _POSITIONS
        return train(self, *arguments, **options)

    Trainer.train = short  # type: ignore[method-assign]


def main() -> None:
    """Run the pages that standard input names."""
    work = json.loads(sys.stdin.read())
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what blocks print goes with the errors
    if not all(item["alone"] for item in work):
        models = Path(work[0]["folder"]).with_name("models")
        write_one_layer(models)
        os.environ["MF_MODELS"] = str(models)
        shorten_training()
    failures = []
    for item in work:
        environment = dict(os.environ)
        page = Page(Path(item["folder"]), item["alone"])
        for block in item["blocks"]:
            try:
                page.run(block)
            except BaseException as error:
                what = str(error) if isinstance(error, Failed) else traceback.format_exc()
                failures.append([f"{block['page']}:{block['line']}", what])
                break  # what comes after builds on it
        os.environ.clear()
        os.environ.update(environment)
    results.write(json.dumps(failures))
    results.close()


if __name__ == "__main__":
    main()
