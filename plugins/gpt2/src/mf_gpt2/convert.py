"""GPT-2's checkpoints as MindFormers writes them: one ``.ckpt`` file.

MindFormers has queries, keys and values in three layers (``dense1`` to ``dense3``) whose weights are stored as
``(out, in)``; all its other linear layers are ``(in, out)``, as GPT-2's own are.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mf_core.conversion import Converter, SourceTensor, is_mindspore_file, is_training_state, read_mindspore_file
from mf_core.errors import UnsupportedError, WeightsError

_NAMES = {
    "backbone.layernorm.gamma": "transformer.ln_f.weight",
    "backbone.layernorm.beta": "transformer.ln_f.bias",
    **{
        f"backbone.{inner}{name}_embedding.embedding_table": f"transformer.{ours}.weight"
        for name, ours in (("word", "wte"), ("position", "wpe"))
        for inner in ("", "embedding.")
    },
}
_LAYER = re.compile(r"backbone\.blocks\.(\d+)\.(.+)\.(weight|bias|gamma|beta)\Z")
_PARTS = {
    "layernorm1": "ln_1",
    "layernorm2": "ln_2",
    "attention.projection": "attn.c_proj",
    "output.mapping": "mlp.c_fc",
    "output.projection": "mlp.c_proj",
}
_QKV = {"attention.dense1": 0, "attention.dense2": 1, "attention.dense3": 2}
_KINDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}

#: Causal masks, and the head's second name for the embedding.
_NO_WEIGHTS = re.compile(r"backbone\.blocks\.\d+\.attention\.(masked_)?beta\Z|head\.weight\Z")


class GPT2Converter(Converter):
    """Reads the single ``.ckpt`` file that MindFormers publishes and trains."""

    layouts: ClassVar[tuple[str, ...]] = ("a MindSpore checkpoint in one file, such as MindFormers' gpt2.ckpt",)

    description = "a MindSpore checkpoint in one file"

    def __init__(self, found: Mapping[str, SourceTensor], ignored: int) -> None:
        self.ignored = ignored
        self._tensors, parts = [], defaultdict[str, dict[int, SourceTensor]](dict)
        for name, tensor in found.items():
            match = _LAYER.match(name)
            if match and match[2] in _QKV:
                parts[f"transformer.h.{int(match[1])}.attn.c_attn.{_KINDS[match[3]]}"][_QKV[match[2]]] = tensor
            else:
                self._tensors.append(tensor.renamed(_model_name(tensor)))
        self._tensors += [_joined(name, thirds) for name, thirds in parts.items()]

    @classmethod
    def recognise(cls, source: Path) -> GPT2Converter | None:
        """See the base class."""
        if source.is_dir() or not is_mindspore_file(source):
            return None
        stored = read_mindspore_file(source)
        found = {n: t for n, t in stored.items() if not (is_training_state(n) or _NO_WEIGHTS.match(n))}
        return cls(found, len(stored) - len(found))

    def tensors(self) -> Sequence[SourceTensor]:
        """See the base class."""
        return self._tensors

    def config(self) -> Mapping[str, Any]:
        """See the base class; no tensor shows the number of heads."""
        shapes = {tensor.name.removeprefix("transformer."): tensor.shape for tensor in self._tensors}
        fields = {
            field: shapes[name][axis]
            for name, field, axis in (
                ("wte.weight", "vocab_size", 0), ("wte.weight", "hidden_size", 1), ("wpe.weight", "seq_length", 0),
            )
            if len(shapes.get(name, ())) == 2
        }  # fmt: skip
        layers = [int(match[1]) for name in shapes if (match := re.match(r"h\.(\d+)\.", name))]
        return {**fields, "num_layers": max(layers) + 1} if layers else fields


def _model_name(tensor: SourceTensor) -> str:
    name = tensor.name
    if name in _NAMES:
        return _NAMES[name]
    match = _LAYER.match(name)
    if match and match[2] in _PARTS:
        return f"transformer.h.{int(match[1])}.{_PARTS[match[2]]}.{_KINDS[match[3]]}"
    if "lora" in name or "mindpet" in name:
        raise UnsupportedError(
            f"{tensor.origin} is of a LoRA adapter, which is not converted", value=name,
            hint="merge the adapter into the weights with MindFormers first",
        )  # fmt: skip
    raise WeightsError(
        f"{tensor.origin} is no tensor of a GPT-2 checkpoint", value=name, hint="check that the file is one of GPT-2"
    )


def _joined(name: str, thirds: Mapping[int, SourceTensor]) -> SourceTensor:
    """Return queries, keys and values as the one layer that makes all three, ``(in, 3 * out)``."""
    missing = [f"dense{number + 1}" for number in range(3) if number not in thirds]
    first = next(iter(thirds.values()))
    if missing or len({(tensor.shape, tensor.dtype) for tensor in thirds.values()}) > 1:
        what = f"has no {missing[0]} beside it" if missing else "has another shape or type than the other two"
        raise WeightsError(f"{first.origin} {what}", value=name, hint="the file is not whole; fetch it again")
    parts = [thirds[number].transposed() for number in range(3)]
    shape = (*parts[0].shape[:-1], 3 * parts[0].shape[-1])
    origin = f"{first.origin} with the other two of its layer"

    def read() -> np.ndarray:
        return np.concatenate([part.read() for part in parts], axis=-1)

    return SourceTensor(name, shape, first.dtype, origin, read)
