"""llama.cpp through its Python binding: text by the likeliest tokens, scores of a text, files of other types."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import llama_cpp as lc
import numpy as np
from engines import Rows, timed
from mf_cpu_backend.cores import core_count


class Engine:
    """A model of a GGUF file, with room for so many tokens in each of so many sequences."""

    def __init__(self, file: str, tokens: int, sequences: int = 1) -> None:
        _silence()
        lc.llama_backend_init()
        self.model = lc.llama_model_load_from_file(file.encode(), lc.llama_model_default_params())
        settings = lc.llama_context_default_params()
        settings.n_ctx, settings.n_seq_max = tokens * sequences, sequences
        settings.n_batch = settings.n_ubatch = 512
        settings.n_threads = settings.n_threads_batch = core_count()
        settings.no_perf = True
        self.context = lc.llama_init_from_model(self.model, settings)
        self.size = lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(self.model))
        self.batch = lc.llama_batch_init(512, 0, 1)

    def clear(self) -> None:
        lc.llama_memory_clear(lc.llama_get_memory(self.context), True)

    def decode(self, tokens: list[tuple[int, int, int]], wanted: set[int]) -> np.ndarray:
        """Compute ``(sequence, position, id)`` for up to 512 tokens; return the scores of the wanted indices."""
        batch = self.batch
        batch.n_tokens = len(tokens)
        for index, (sequence, position, token) in enumerate(tokens):
            batch.token[index], batch.pos[index], batch.logits[index] = token, position, index in wanted
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, sequence
        if lc.llama_decode(self.context, batch):
            raise SystemExit("llama_decode failed")
        rows = [lc.llama_get_logits_ith(self.context, index) for index in sorted(wanted)]
        return np.array([np.ctypeslib.as_array(row, (self.size,)) for row in rows]).reshape(-1, self.size)

    def generate(self, prompts: Rows, new: int) -> Rows:
        self.clear()
        rows, following = [list(prompt) for prompt in prompts], [0] * len(prompts)
        tokens = [(s, p, token) for s, prompt in enumerate(prompts) for p, token in enumerate(prompt)]
        lasts = np.cumsum([len(prompt) for prompt in prompts]) - 1
        for start in range(0, len(tokens), 512):
            here = {int(last) - start: s for s, last in enumerate(lasts) if start <= last < start + 512}
            scores = self.decode(tokens[start : start + 512], set(here))
            for row, index in zip(scores, sorted(here), strict=True):
                following[here[index]] = int(row.argmax())
        for _ in range(new - 1):
            for row, token in zip(rows, following, strict=True):
                row.append(token)
            step = [(s, len(row) - 1, row[-1]) for s, row in enumerate(rows)]
            following = self.decode(step, set(range(len(step)))).argmax(-1).tolist()
        return [[*row, token] for row, token in zip(rows, following, strict=True)]

    def scores(self, ids: list[int]) -> np.ndarray:
        """Return the scores after each of up to 512 ids, ``(S, V)``."""
        self.clear()
        return self.decode([(0, position, token) for position, token in enumerate(ids)], set(range(len(ids))))


def generator(file: str, tokens: int, sequences: int = 1) -> Callable[..., dict]:
    """What takes prompts in the benchmarks."""
    return timed(Engine(file, tokens, sequences).generate)


def write_types(file: str, folder: str) -> Callable[[], dict[str, str]]:
    """Write the file's weights in other types; return type -> file. They are those of the file, rounded again."""

    def answer() -> dict[str, str]:
        _silence()
        lc.llama_backend_init()
        written = {}
        for name in ("F32", "BF16", "Q8_0"):
            settings = lc.llama_model_quantize_default_params()
            settings.ftype = getattr(lc, {"F32": "LLAMA_FTYPE_ALL_F32"}.get(name, f"LLAMA_FTYPE_MOSTLY_{name}"))
            settings.allow_requantize, settings.nthread = True, core_count()
            written[name] = str(Path(folder, f"{name}.gguf"))
            if lc.llama_model_quantize(file.encode(), written[name].encode(), ctypes.byref(settings)):
                raise SystemExit(f"llama.cpp cannot write {name}")
        return written

    return answer


@lc.llama_log_callback
def _ignore(level: int, text: bytes, data: object) -> None:
    pass


def _silence() -> None:
    lc.llama_log_set(_ignore, ctypes.c_void_p(0))
