"""Fresh processes: the first token from the command line, and loading weights."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from session import Session
from table import Figures, Row

TRANSFORMERS = """\
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer, model = (kind.from_pretrained(sys.argv[1]) for kind in (AutoTokenizer, AutoModelForCausalLM))
ids = model.generate(**tokenizer(sys.argv[2], return_tensors="pt"), max_new_tokens=1, do_sample=False)
print(tokenizer.decode(ids[0]))
"""
TEXT = "The first light of the morning fell on the harbour"


def measure_first(session: Session) -> list[Row]:
    """Return the rows of the first token: with caches that are empty, and as later runs find them."""
    found: dict[str, list[float]] = defaultdict(list)
    failures: dict[str, str] = defaultdict(str)

    def run(name: str, command: list[str], cache: Path, keep: bool = True) -> None:
        if failures[name]:
            return
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "MF_CACHE": str(cache)}
        start = time.perf_counter()
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        seconds = time.perf_counter() - start
        if result.returncode:
            failures[name] = (result.stderr.strip() or f"ended with {result.returncode}").split("\n")[-1]
        elif keep:
            found[name].append(seconds)

    folder, cache = session.checkpoint, session.scratch / "cache"
    ours = [str(Path(sys.executable).with_name("mf")), "generate", "--model", folder, "--max-new-tokens", "1",
            "--greedy", TEXT]  # fmt: skip
    theirs = [sys.executable, "-c", TRANSFORMERS, folder, TEXT]
    for command in (ours, theirs):  # so that files have been read, and bytecode is there
        run("", command, cache, keep=False)
    for _ in session.rounds("first", session.settings.rounds):
        shutil.rmtree(cache, ignore_errors=True)
        run("empty", ours, cache)
        run("filled", ours, cache)
        run("theirs", theirs, cache)
    peer = Figures("transformers, a script", found["theirs"], failures["theirs"])
    return [
        Row("first", f"first token of a fresh process, {session.settings.model}, {when}", "s",
            Figures("mf generate", found[name], failures[name]), peer, 1.0, higher=False)
        for name, when in (("empty", "caches empty"), ("filled", "later runs"))
    ]  # fmt: skip


def measure_load(session: Session) -> list[Row]:
    """Return the rows of loading: the time of the call, and how memory grows."""
    folder, size, rounds = session.checkpoint, session.checkpoint_bytes / 1e6, session.settings.rounds
    engines = {"ours": "start:load_ours", "transformers": "start:load_transformers"}
    figures = session.fresh("load", rounds, engines, folder=folder)

    def row(what: str, unit: str, key: str, peer: Figures, target: float | None) -> Row:
        return Row("load", f"load {size:.0f} MB, {what}", unit, figures("ours", key), peer, target, higher=False)

    file = Figures("the file", [size] * rounds)
    return [
        row("from_pretrained", "s", "called", figures("transformers", "called"), 1.0),
        row("and all of it read", "s", "read", figures("transformers", "read"), None),
        row("peak of memory", "MB", "growth", file, 1.2),
        row("peak of memory", "MB", "growth", figures("transformers", "growth"), None),
    ]


def load_ours(folder: str) -> Callable[[], dict]:
    from mf_core import AutoModel, GPT2LMHeadModel, get_backend  # noqa: F401

    get_backend()
    return lambda: _loaded(
        AutoModel.from_pretrained, folder, lambda model: [p.asnumpy() for p in model.get_parameters()]
    )


def load_transformers(folder: str) -> Callable[[], dict]:
    from transformers import AutoModelForCausalLM, GPT2LMHeadModel  # noqa: F401

    return lambda: _loaded(
        AutoModelForCausalLM.from_pretrained, folder, lambda model: [p.detach().numpy() for p in model.parameters()]
    )


def _loaded(load: Callable[[str], Any], folder: str, arrays: Callable[[Any], list[np.ndarray]]) -> dict:
    """Return the seconds of the call, those until every weight has been read too, and megabytes of memory.

    A call may leave weights on the disk until they are used. Memory is what the process's resident memory grows by from
    before the call to its peak, all weights read.
    """
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from here on
    before = _resident("VmRSS")
    start = time.perf_counter()
    model = load(folder)
    called = time.perf_counter()
    for array in arrays(model):
        array.sum()
    read = time.perf_counter()
    return {"called": called - start, "read": read - start, "growth": _resident("VmHWM") - before}


def _resident(what: str) -> float:
    return int(re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024 / 1e6

