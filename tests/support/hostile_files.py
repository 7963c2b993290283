"""Small files of every kind that the library reads back, what reads each, and two ways of making hostile ones."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import strategies as st

from mf_core import AutoConfig, AutoTokenizer
from mf_core.checkpoint.gguf.config import config_of
from mf_core.checkpoint.gguf.header import read_header
from mf_core.checkpoint.gguf.tokenizer import tokenizer_files
from mf_core.checkpoint.sharded import Index
from mf_core.cli.train import _read
from mf_core.generation import GenerationConfig
from mf_core.lora.config import read_settings
from mf_core.trainer.arguments import TrainingArguments
from mf_core.trainer.checkpoints.state_file import CHECKPOINT_NAME, read_checkpoint
from mf_core.trainer.reporting.loggers import read_metrics
from mf_core.utils.commit import JOURNAL, finish
from mf_core.utils.locks import holder

from .trainer_state import STATE

CONFIG = {"model_type": "gpt2", "vocab_size": 300, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
ADAPTER = {
    "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "bias": "none",
    "target_modules": ["c_attn"], "fan_in_fan_out": False, "base_model_name_or_path": "gpt2", "use_rslora": False,
}  # fmt: skip
LAYOUT = {"data": 1, "tensor": 2, "pipeline": 1, "expert": 1}
RUN = {
    "model": "gpt2_tiny", "output_dir": "out", "learning_rate": 1e-3, "max_steps": 4, "save_strategy": "steps",
    "parallel": {"data_parallel": 1}, "lr_scheduler_type": "cosine", "seed": 3,
}  # fmt: skip
#: A file beside a journal that no save wrote.
MINE = "mine.txt"


@dataclass(frozen=True)
class Kind:
    """A file, as it is written, and what reads its folder."""

    name: str
    file: str
    data: Any
    read: Callable[[Path], Any]

    def text(self, data: Any) -> bytes:
        """Return the file that holds ``data``."""
        if self.file.endswith(".yaml"):
            return yaml.safe_dump(data, allow_unicode=False).encode()
        if self.file.endswith(".jsonl"):
            lines = data if isinstance(data, list) else [data]
            return "\n".join(json.dumps(line) for line in lines).encode("utf-8", "surrogatepass")
        return json.dumps(data).encode("utf-8", "surrogatepass")


def _read_state(folder: Path) -> None:
    content = read_checkpoint(folder)
    content.state()
    content.random()
    assert all(CHECKPOINT_NAME.match(name) for name in content.own)


def _read_tokenizer(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(["a fox", ""], padding=True)["input_ids"]
    tokenizer.batch_decode(ids, skip_special_tokens=True)


def _read_chat(folder: Path) -> None:
    AutoTokenizer.from_pretrained(folder).apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)


def _read_run(folder: Path) -> None:
    run = _read(str(folder / "run.yaml"))
    TrainingArguments(**{name: value for name, value in run.items() if name not in ("model", "parallel")})


def _finish(folder: Path) -> None:
    (folder / MINE).write_text("mine")
    try:
        finish(folder)
    finally:
        assert (folder / MINE).read_text() == "mine"


def _read_gguf(folder: Path) -> None:
    header = read_header(folder / "model.gguf")
    config_of(header)
    tokenizer_files(header)
    for tensor in header.tensors.values():
        tensor.read()


def kinds(folder: Path) -> list[Kind]:
    """Return the kinds of files; ``folder`` is an empty one for making them."""
    from .gguf_files import write_llama
    from .tokenizer_folders import backend_5

    backend_5(folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    write_llama(folder / "model.gguf", layers=1, width=32, inner=32)
    shard = {"shape": [4, 4], "dtype": "float32", "split": {"axis": 0, "fused": 1}, "stages": [0], "expert": None,
             "flat": False}  # fmt: skip
    return [
        Kind("state", "trainer_state.json", STATE, _read_state),
        Kind("adapter", "adapter_config.json", ADAPTER, lambda f: read_settings(f / "adapter_config.json")),
        Kind("tokenizer", "tokenizer.json", tokenizer, _read_tokenizer),
        Kind("tokenizer settings", "tokenizer_config.json", settings, _read_tokenizer),
        Kind("chat template", "tokenizer_config.json", {**settings, "chat_template": "{{ messages[0].content }}"},
             _read_chat),
        Kind("generation", "generation_config.json", {"top_k": 5, "temperature": 0.7, "do_sample": True,
             "eos_token_id": [1, 2], "max_length": 20, "suppress_tokens": [3], "bad_words_ids": [[1]]},
             GenerationConfig.from_pretrained),
        Kind("configuration", "config.json", {**CONFIG, "task_specific_params": {"a": [1]}},
             AutoConfig.from_pretrained),
        Kind("run file", "run.yaml", RUN, _read_run),
        Kind("layout", "layout.json", {"format": 1, "layout": LAYOUT, "weights": {"a.weight": shard}, "optimizer": {}},
             Index.read),
        Kind("journal", JOURNAL, {"staging": ".mf-save-0123456789abcdef", "put": [], "remove": ["config.json"]},
             _finish),
        Kind("metrics", "metrics.jsonl", [{"step": 1, "loss": 1.5}, {"step": 2, "loss": None, "seconds": 2.0}],
             lambda f: read_metrics(f / "metrics.jsonl")),
        Kind("lock", ".mf-run.lock", {"pid": 3, "host": "a", "start": 1.5}, lambda f: holder(f / ".mf-run.lock")),
        Kind("gguf", "model.gguf", (folder / "model.gguf").read_bytes(), _read_gguf),
    ]  # fmt: skip


def fill(folder: Path, kind: Kind, base: Path) -> None:
    """Write what stands beside a kind's file."""
    folder.mkdir(exist_ok=True)
    if kind.read in (_read_tokenizer, _read_chat):
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).write_bytes((base / name).read_bytes())
    if kind.name not in ("journal", "gguf", "adapter"):
        (folder / "config.json").write_text(json.dumps(CONFIG))


# Hypothesis: edits of a value -----------------------------------------------------------------------------------------

_ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-3, 70), st.floats(), st.text(max_size=12),
    st.sampled_from(["../x", "/etc/passwd", "\x1b[2J", "a\0", "\ud800", "x" * 5000, "checkpoint-0", "{{ 1/0 }}",
                     "{% for a in range(10**9) %}{% endfor %}", "(a+)+$", 2**63, -(2**63), 10**400, 1e308, "NaN"]),
)  # fmt: skip
_VALUES = st.recursive(
    _ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@st.composite
def edits(draw: Any, data: Any) -> Any:
    """Draw a JSON value with one to three edits: values replaced, removed, renamed, moved and added."""
    data = json.loads(json.dumps(data))
    for _ in range(draw(st.integers(1, 3))):
        found = list(_containers(data))
        node = draw(st.sampled_from(found))
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        keys = keys[:40] + keys[-3:] if len(keys) > 43 else keys  # long lists at their ends
        action = draw(st.sampled_from(["replace", "remove", "rename", "add", "nest"]))
        if action == "add" or not keys:
            value = draw(_VALUES)
            if isinstance(node, dict):
                node[draw(st.sampled_from(["extra", "__class__", "", "auto_map", "_name_or_path", "own"]))] = value
            else:
                node.append(value)
            continue
        key = draw(st.sampled_from(keys))
        if action == "remove":
            del node[key]
        elif action == "rename" and isinstance(node, dict):
            node[draw(st.text(max_size=8))] = node.pop(key)
        elif action == "nest":
            node[key] = [node[key]] if draw(st.booleans()) else {"a": node[key]}
        else:
            node[key] = draw(_VALUES)
    return data


def _containers(data: Any) -> Any:
    pending = [data]
    while pending:
        node = pending.pop()
        yield node
        values = list(node.values()) if isinstance(node, dict) else [*node[:3], *node[-3:]]
        pending.extend(value for value in values if isinstance(value, (dict, list)))


# Random: bytes that an outsider writes --------------------------------------------------------------------------------

_TOKENS = (
    b"null", b"true", b"-0", b"1e999", b"NaN", b"-Infinity", b'""', b"[]", b"{}", b'"\\ud800"', b'"\\u0000"',
    b"9" * 400, b"9" * 5000, b"[" * 2000, b'{"a":' * 2000, b"\xff\xfe", b"\xef\xbb\xbf", b"\0",
    b"!!python/object/apply:os.system", b"&a [*a, *a]", b"*a", b"<<: *a", b"- - - -", b"\r", b"\x1b[2J", b"'", b"#",
    b"%", b"|", b"2026-01-01", b"0x10",
)  # fmt: skip


def mangled(data: bytes, draw: random.Random) -> bytes:
    """Return bytes with some faults that a parser's author may not have thought of."""
    array = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        at = draw.randrange(len(array) + 1)
        kind = draw.randrange(7)
        if kind == 0:
            array[at:at] = draw.choice(_TOKENS)
        elif kind == 1:  # a token instead of one
            stop = next((i for i in range(at, len(array)) if array[i] in b",]}\n:"), len(array))
            array[at:stop] = draw.choice(_TOKENS)
        elif kind == 2:
            other = draw.randrange(len(array) + 1)
            array[at:at] = array[min(at, other) : max(at, other)][:2000]
        elif kind == 3 and array:
            array[at % len(array)] = draw.randrange(256)
        elif kind == 4:
            del array[at : at + draw.choice((1, 3, 30))]
        elif kind == 5:
            array[at : at + 8] = struct.pack("<q", draw.choice((-1, 0, 1, 2**31, 2**40, 2**62, -(2**63), 7)))
        else:
            array[at : at + 4] = struct.pack("<I", draw.choice((0, 4, 8, 9, 12, 2**31, 2**32 - 1)))
    if draw.random() < 0.02:
        return bytes(array).decode("latin-1").encode("utf-16")
    return bytes(array) if draw.random() > 0.02 else np.frombuffer(bytes(array), np.uint8)[::-1].tobytes()
