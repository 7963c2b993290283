"""A GGUF file's tensors under the names, and in the layout, of Hugging Face's checkpoints.

Names are the ``gguf`` library's own table, read backwards; what the converter to GGUF changed in the tensors of an
architecture is changed back here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ...errors import UnsupportedError, WeightsError
from .header import GGUFHeader, StoredTensor
from .quantization import dequantize, library

#: Names of experts in Hugging Face's checkpoints; in GGUF those of a layer are one tensor, ``(experts, out, in)``.
_EXPERT: Final = re.compile(r"(\.experts)\.(\d+)\.")
#: Tensors that say how rotary positions are scaled: part of the configuration.
_NOT_WEIGHTS: Final = {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"}
#: Architectures whose rows of queries and keys are in the order that pairs neighbours.
_PAIRED: Final = ("llama", "granite", "smollm3")
_SUFFIXES: Final = (".weight", ".bias")


@dataclass(frozen=True)
class MappedTensor:
    """A tensor of a model, in a GGUF file.

    Attributes:
        name: What the model calls it.
        stored: Where its numbers are.
        expert: Its number in a tensor of all experts; None: the tensor is all of it.
        change: What is done to its values, or to its rows' bytes.
        keeps_rows: Whether the change only moves whole rows, so that it can be done to quantized ones as well.
    """

    name: str
    stored: StoredTensor
    expert: int | None = None
    change: Callable[[np.ndarray], np.ndarray] | None = None
    keeps_rows: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of what is stored for it."""
        return self.stored.shape if self.expert is None else self.stored.shape[1:]

    def rows(self) -> np.ndarray:
        """Return the bytes of its rows, uint8 ``(rows, bytes)``, mapped where they are as the model has them."""
        raw = self.stored.raw()
        if self.expert is not None:
            count = self.stored.shape[1]
            raw = raw[self.expert * count : (self.expert + 1) * count]
        return raw if self.change is None else np.ascontiguousarray(self.change(raw))

    def read(self) -> np.ndarray:
        """Return its values, fp32 or as the file has them."""
        raw = self.stored.raw()
        if self.expert is not None:
            count = self.stored.shape[1]
            raw = raw[self.expert * count : (self.expert + 1) * count]
        values = dequantize(raw.reshape(-1), self.stored.kind, self.shape)
        return values if self.change is None else self.change(values)


def map_tensors(header: GGUFHeader, config: Mapping[str, Any], names: Iterable[str]) -> list[MappedTensor]:
    """Return where the tensors of a model are in a file.

    Args:
        header: The file's.
        config: From :func:`mf_core.checkpoint.gguf.config.config_of`.
        names: Those of the model's parameters, as in Hugging Face's checkpoints.

    Raises:
        WeightsError: The file lacks one, or has tensors that the model has no use for.
        UnsupportedError: The library does not know the architecture.
    """
    names, architecture = list(names), header.architecture
    table = _name_table(architecture, int(header.metadata[f"{architecture}.block_count"]))
    mapped, missing, used = [], [], set()
    for name in names:
        match = _EXPERT.search(name)
        plain = _EXPERT.sub(r"\1.", name) if match else name
        stored = header.tensors.get(table.get_name(plain, try_suffixes=_SUFFIXES) or "")
        if stored is None:
            missing.append(name)
            continue
        used.add(stored.name)
        change, keeps = _change(architecture, stored.name, config)
        mapped.append(MappedTensor(name, stored, int(match[2]) if match else None, change, keeps))
    left = sorted(header.tensors.keys() - used - _NOT_WEIGHTS)
    if missing or left:
        kinds = ((missing, "missing"), (left, "left over"))
        parts = [f"{len(each)} {what}, such as {each[0]!r}" for each, what in kinds if each]
        raise WeightsError(
            f"the tensors of {header.path} do not fit a {architecture} model: {'; '.join(parts)}",
            value=missing + left, hint="the file may be of another model, or made by another version of its converter",
        )
    return mapped


def _name_table(architecture: str, layers: int) -> Any:
    gguf = library()
    number = next((key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture), None)
    if number is None:
        raise UnsupportedError(f"the architecture {architecture!r} of GGUF files is not known", value=architecture)
    return gguf.get_tensor_name_map(number, layers)


def _change(
    architecture: str, name: str, config: Mapping[str, Any]
) -> tuple[Callable[[np.ndarray], np.ndarray] | None, bool]:
    """Return the function that restores the checkpoint's tensor, and whether it only permutes rows."""
    if architecture in _PAIRED and re.search(r"\.attn_[qk]\.", name):
        heads = config["num_attention_heads"]
        if ".attn_k." in name:
            heads = config.get("num_key_value_heads") or heads
        return lambda x: _rotary_halves(x, heads), True
    if architecture in ("gemma", "gemma2", "gemma3") and name.endswith("norm.weight"):
        return lambda x: x - 1, False  # stored as factors; the checkpoint has differences from 1
    if architecture == "gpt2" and re.search(r"\.(attn_qkv|attn_output|ffn_up|ffn_down)\.weight$", name):
        return lambda x: np.ascontiguousarray(x.T), False
    if architecture in ("bloom", "gptneox") and ".attn_qkv." in name:
        return lambda x: _by_head(x, config["num_attention_heads"]), True
    return None, True


def _rotary_halves(x: np.ndarray, heads: int) -> np.ndarray:
    """Undo the order of rows that pairs neighbours: i and i + D / 2 of a head are a pair."""
    pairs = x.reshape(heads, x.shape[0] // heads // 2, 2, *x.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(x.shape))


def _by_head(x: np.ndarray, heads: int) -> np.ndarray:
    """Interleave queries, keys and values by head."""
    parts = x.reshape(3, heads, x.shape[0] // (3 * heads), *x.shape[1:])
    return np.ascontiguousarray(parts.swapaxes(0, 1).reshape(x.shape))
