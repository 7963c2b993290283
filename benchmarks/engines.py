"""What generates text in the benchmarks: ours, and its peers, each in a separate process.

An engine is made from the folder of a GPT-2 checkpoint in transformers' form. It takes prompts as lists of ids, and
returns them with the likeliest next ones; no end-of-text id ends a row.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mf_cpu_backend.cores import core_count

Rows = list[list[int]]


def timed(generate: Callable[[Rows, int], Rows]) -> Callable[..., dict]:
    """Return what answers with the seconds that ``generate`` takes, the median of ``repeats``, and with the ids."""

    def answer(prompts: Rows, new: int, repeats: int = 1) -> dict:
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            ids = generate(prompts, new)
            seconds.append(time.perf_counter() - start)
        return {"seconds": statistics.median(seconds), "ids": ids}

    return answer


def save_gpt2(folder: str, layers: int) -> Callable[[], None]:
    """Write a checkpoint of GPT-2 124M's shape (or of fewer layers) with random weights, and GPT-2's tokenizer."""
    import mf_gpt2
    import torch
    import transformers

    def answer() -> None:
        torch.manual_seed(0)
        transformers.GPT2LMHeadModel(transformers.GPT2Config(n_layer=layers)).save_pretrained(folder)
        for file in Path(mf_gpt2.__file__).with_name("data").joinpath("vocab").iterdir():
            shutil.copy(file, folder)

    return answer


def ours(folder: str, weight_dtype: str | None = None) -> Callable[..., dict]:
    from mf_core import AutoModel

    model = AutoModel.from_pretrained(folder, weight_dtype=weight_dtype)
    return timed(
        lambda prompts, new: model.generate(prompts, max_new_tokens=new, do_sample=False, eos_token_id=None)
    )


def torch_eager(folder: str) -> Callable[..., dict]:
    import torch
    import transformers

    torch.set_num_threads(core_count())
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()

    def generate(prompts: Rows, new: int) -> Rows:
        longest = max(map(len, prompts))
        padding = [longest - len(row) for row in prompts]
        ids = torch.tensor([[0] * pad + row for pad, row in zip(padding, prompts, strict=True)])
        mask = torch.tensor([[0] * pad + [1] * len(row) for pad, row in zip(padding, prompts, strict=True)])
        found = model.generate(
            ids, attention_mask=mask, max_new_tokens=new, do_sample=False, eos_token_id=None, pad_token_id=0
        ).tolist()
        return [row[pad:] for pad, row in zip(padding, found, strict=True)]

    return timed(generate)


def ctranslate2_int8(folder: str) -> Callable[..., dict]:
    import ctranslate2

    with tempfile.TemporaryDirectory() as converted:
        ctranslate2.converters.TransformersConverter(folder).convert(converted, quantization="int8", force=True)
        generator = ctranslate2.Generator(converted, compute_type="int8", intra_threads=core_count(), inter_threads=1)
    names = _names(folder)

    def generate(prompts: Rows, new: int) -> Rows:
        longest = len(prompts[0]) + new - 1  # the first id is the start, and is not counted
        results = generator.generate_batch(
            [[names[index] for index in row] for row in prompts], max_length=longest, min_length=longest,
            beam_size=1, sampling_topk=1, include_prompt_in_result=True,
        )  # fmt: skip
        return [result.sequences_ids[0] for result in results]

    return timed(generate)


def _names(folder: str) -> list[str]:
    """Return the token of each id."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tokenizer.convert_ids_to_tokens(range(len(tokenizer)))


def onnxruntime_int8(folder: str) -> Callable[..., dict]:
    import numpy as np
    import onnxruntime
    from onnx import TensorProto
    from onnx_graph import write_gpt2
    from onnxruntime.quantization import QuantType, quantize_dynamic

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = core_count(), 1
    with tempfile.TemporaryDirectory() as written:
        full, held = Path(written, "full.onnx"), Path(written, "int8.onnx")
        layers, heads, size = write_gpt2(Path(folder), full)
        quantize_dynamic(
            full, held, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Attention"],
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )  # fmt: skip
        session = onnxruntime.InferenceSession(held, options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]

    def generate(prompts: Rows, new: int) -> Rows:
        """One row; the cache goes from one call to the next without a copy on this side."""
        (row,) = (list(prompt) for prompt in prompts)
        empty = np.zeros((2, 1, heads, 0, size), np.float32)
        cache = [onnxruntime.OrtValue.ortvalue_from_numpy(empty)] * layers
        given = row
        for _ in range(new):
            positions = np.arange(len(row) - len(given), len(row))[None]
            feed = {f"past.{layer}": value for layer, value in enumerate(cache)}
            feed["ids"] = onnxruntime.OrtValue.ortvalue_from_numpy(np.array([given]))
            feed["positions"] = onnxruntime.OrtValue.ortvalue_from_numpy(positions)
            logits, *cache = session.run_with_ort_values(outputs, feed)
            given = [int(logits.numpy().argmax())]
            row.extend(given)
        return [row]

    return timed(generate)
