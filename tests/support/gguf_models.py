"""Models written to GGUF files in the layouts of llama.cpp's converter."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from .gguf_files import MERGES, byte_letters


def write_model(
    path: Path, architecture: str, tensors: Mapping[str, np.ndarray], keys: Mapping[str, Any], *, heads: int,
    groups: int, extra: Mapping[str, np.ndarray] | None = None, plain_key: int | None = None,
    fused: bool = False, blocks: bool = False,
) -> None:  # fmt: skip
    """Write a model with a byte-level tokenizer.

    Args:
        path: The file.
        architecture: llama.cpp's name.
        tensors: By the names of Hugging Face's checkpoints; the embedding has 263 rows.
        keys: Metadata, without the architecture's name in front.
        heads, groups: Heads of queries, and of keys and values.
        extra: Tensors that are no weights, by their names in the file.
        plain_key: Width of the part of a key that is not rotated, where keys and values of latents are apart in the
            file; None: they are not.
        fused: Whether queries, keys and values are one tensor in the file.
        blocks: Whether matrices of rows of whole blocks are stored in Q8_0.
    """
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in keys.items():
        _add(writer, f"{architecture}.{key}", value)
    tokens = [*byte_letters(), *(merge.replace(" ", "") for merge in MERGES), "<|end|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - 1) + [3])
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(len(tokens) - 1)
    number = next(number for number, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(number, keys["block_count"])
    stacks: dict[str, list[np.ndarray]] = {}
    for name, array in _converted(architecture, tensors, heads, plain_key, fused).items():
        if re.search(r"\.[qk]_proj\.", name) and architecture in ("llama", "granite", "smollm3"):
            count = heads if ".q_proj." in name else groups
            halves = array.reshape(count, 2, len(array) // count // 2, *array.shape[1:])
            array = halves.swapaxes(1, 2).reshape(array.shape)
        if architecture in ("gemma2", "gemma3") and name.endswith("norm.weight"):
            array = array + 1
        plain = re.sub(r"\.experts\.\d+\.", ".experts.", name).replace("_correction_bias", "_correction.bias")
        if architecture == "bloom":
            plain = plain.removeprefix("transformer.")
        stored = names.get_name(plain, try_suffixes=(".weight", ".bias"))
        assert stored is not None, name
        stacks.setdefault(stored, []).append(np.ascontiguousarray(array))
    for name, arrays in stacks.items():
        array = np.stack(arrays) if "_exps" in name else arrays[0]
        if blocks and array.ndim > 1 and array.shape[-1] % 32 == 0:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, array)
    for name, array in (extra or {}).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _converted(
    architecture: str, tensors: Mapping[str, np.ndarray], heads: int, plain_key: int | None, fused: bool
) -> dict[str, np.ndarray]:
    """Return tensors in the layouts in which whole parts of them are moved, split or fused."""
    made: dict[str, np.ndarray] = {}
    for name, array in tensors.items():
        if architecture in ("bloom", "gptneox") and "query_key_value" in name:
            parts = array.reshape(heads, 3, len(array) // heads // 3, *array.shape[1:])
            made[name] = parts.swapaxes(0, 1).reshape(array.shape)
        elif architecture == "gpt2" and re.search(r"\.c_(attn|proj|fc)\.weight$", name):
            made[name] = array.T
        elif architecture == "deepseek2" and ".kv_b_proj." in name and plain_key is not None:
            keys, values = np.split(array.reshape(heads, -1, array.shape[-1]), [plain_key], 1)
            made[name.replace(".kv_b_", ".k_b_")], made[name.replace(".kv_b_", ".v_b_")] = keys.swapaxes(1, 2), values
        elif fused and ".q_proj." in name:
            each = [tensors[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
            made[name.replace(".q_proj.", ".qkv_proj.")] = np.concatenate(each)
        elif not (fused and re.search(r"\.[kv]_proj\.", name)):
            made[name] = array
    return made


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, list):
        writer.add_array(key, value)
    else:
        kinds = {bool: writer.add_bool, float: writer.add_float32, int: writer.add_uint32}
        kinds[type(value)](key, value)
