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
        shape: Its shape in the model.
        part: Which rows of the stored tensor it is, such as an expert's or those of the keys; None: all.
        change: What is done to its values, or to its rows' bytes.
        keeps_rows: Whether the change only moves whole rows, so that it can be done to quantized ones as well.
    """

    name: str
    stored: StoredTensor
    shape: tuple[int, ...]
    part: slice | None = None
    change: Callable[[np.ndarray], np.ndarray] | None = None
    keeps_rows: bool = True

    def rows(self) -> np.ndarray:
        """Return the bytes of its rows, uint8 ``(rows, bytes)``, mapped where they are as the model has them."""
        raw = self._raw()
        return raw if self.change is None else np.ascontiguousarray(self.change(raw))

    def read(self) -> np.ndarray:
        """Return its values, fp32 or as the file has them."""
        shape = self.stored.shape if self.part is None else self.shape
        values = dequantize(self._raw().reshape(-1), self.stored.kind, shape)
        return values if self.change is None else self.change(values)

    def _raw(self) -> np.ndarray:
        raw = self.stored.raw()
        if self.part is None:
            return raw
        if len(self.stored.shape) == 1:  # each number of a bias belongs to a row
            raw = raw.reshape(self.stored.shape[0], -1)
        return raw[self.part]


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

    def find(name: str) -> StoredTensor | None:
        # The names that the converter looks up in the table, where they are not the checkpoint's.
        name = name.replace(".e_score_correction_bias", ".e_score_correction.bias")
        name = name.removeprefix("transformer.") if architecture == "bloom" else name
        return header.tensors.get(table.get_name(name, try_suffixes=_SUFFIXES) or "")

    mapped, missing, used = [], [], set()
    for name in names:
        found = _map(name, find, architecture, config)
        if found is None:
            missing.append(name)
            continue
        mapped.append(found[0])
        used |= {stored.name for stored in found[1]}
    left = sorted(header.tensors.keys() - used - _NOT_WEIGHTS)
    if missing or left:
        kinds = ((missing, "missing"), (left, "left over"))
        parts = [f"{len(each)} {what}, such as {each[0]!r}" for each, what in kinds if each]
        raise WeightsError(
            f"the tensors of {header.path} do not fit a {architecture} model: {'; '.join(parts)}",
            value=missing + left, hint="the file may be of another model, or made by another version of its converter",
        )
    return mapped


def _map(
    name: str, find: Callable[[str], StoredTensor | None], architecture: str, config: Mapping[str, Any]
) -> tuple[MappedTensor, list[StoredTensor]] | None:
    """Return where a tensor is, and the stored ones that it is made of; None: the file lacks it."""
    match = _EXPERT.search(name)
    stored = find(_EXPERT.sub(r"\1.", name) if match else name)
    if stored is None:
        fused = _from_fused(name, find, config) if architecture == "chatglm" else None
        return fused or _from_latent_halves(name, find)
    if match:
        expert, count = int(match[2]), stored.shape[1] if len(stored.shape) == 3 else 0
        if expert >= stored.shape[0]:
            return None
        return MappedTensor(name, stored, stored.shape[1:], slice(expert * count, (expert + 1) * count)), [stored]
    change, keeps = _change(architecture, stored.name, config)
    shape = stored.shape[::-1] if change is not None and not keeps else stored.shape  # transposed, or a vector
    return MappedTensor(name, stored, shape, None, change, keeps), [stored]


def _from_latent_halves(
    name: str, find: Callable[[str], StoredTensor | None]
) -> tuple[MappedTensor, list[StoredTensor]] | None:
    """Return the projection that makes keys and values of latents: the file has those of each in a tensor.

    Keys are stored transposed, ``(heads, latent, plain elements of a key)``, values as ``(heads, value width,
    latent)``.
    """
    if not name.endswith(".kv_b_proj.weight"):
        return None
    keys, values = (find(name.replace(".kv_b_proj.", f".{each}_b_proj.")) for each in "kv")
    if keys is None or values is None or len(keys.shape) != 3 or len(values.shape) != 3:
        return None
    heads, rank, width = keys.shape
    if (values.shape[0], values.shape[2]) != (heads, rank):
        return None
    shape = (heads * (width + values.shape[1]), rank)

    def both(array: np.ndarray) -> np.ndarray:
        joined: np.ndarray = np.concatenate((array.swapaxes(1, 2), values.read()), 1)
        return joined.reshape(shape)

    return MappedTensor(name, keys, shape, None, both, keeps_rows=False), [keys, values]


def _from_fused(
    name: str, find: Callable[[str], StoredTensor | None], config: Mapping[str, Any]
) -> tuple[MappedTensor, list[StoredTensor]] | None:
    """Return queries, keys or values, where the file has those of a layer beside each other in one tensor."""
    match = re.search(r"\.([qkv])_proj\.(weight|bias)$", name)
    stored = find(name.replace(f".{match[1]}_proj.", ".qkv_proj.")) if match else None
    if match is None or stored is None:
        return None
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    groups, width = config.get("num_key_value_heads") or heads, config.get("head_dim") or hidden // heads
    edges = [0, heads * width, (heads + groups) * width, (heads + 2 * groups) * width]
    if stored.shape[0] != edges[-1] or (len(stored.shape) == 1 and stored.kind.block > 1):
        return None
    number = "qkv".index(match[1])
    rows = edges[number + 1] - edges[number]
    part = slice(edges[number], edges[number + 1])
    return MappedTensor(name, stored, (rows, *stored.shape[1:]), part), [stored]


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
