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
    groups: int, extra: Mapping[str, np.ndarray] | None = None,
) -> None:  # fmt: skip
    """Write a model in fp32, with a byte-level tokenizer.

    Args:
        path: The file.
        architecture: llama.cpp's name.
        tensors: By the names of Hugging Face's checkpoints; the embedding has 263 rows.
        keys: Metadata, without the architecture's name in front.
        heads, groups: Heads of queries, and of keys and values.
        extra: Tensors that are no weights, by their names in the file.
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
    for name, array in tensors.items():
        if re.search(r"\.[qk]_proj\.", name) and architecture in ("llama", "granite", "smollm3"):
            count = heads if ".q_proj." in name else groups
            halves = array.reshape(count, 2, len(array) // count // 2, *array.shape[1:])
            array = halves.swapaxes(1, 2).reshape(array.shape)
        if architecture in ("gemma2", "gemma3") and name.endswith("norm.weight"):
            array = array + 1
        plain = re.sub(r"\.experts\.\d+\.", ".experts.", name)
        stored = names.get_name(plain, try_suffixes=(".weight", ".bias"))
        assert stored is not None, name
        stacks.setdefault(stored, []).append(np.ascontiguousarray(array))
    for name, arrays in stacks.items():
        writer.add_tensor(name, np.stack(arrays) if "_exps" in name else arrays[0])
    for name, array in (extra or {}).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, list):
        writer.add_array(key, value)
    else:
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(key, value)
