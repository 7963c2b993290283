"""PanGu-alpha's published checkpoints, as they are found: MindFormers' single file, Peng Cheng's slices.

All have the same names but for the embeddings. Linear layers that make queries, keys and values are stored as
``(out, in)``, all others as ``(in, out)``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mf_core.conversion import (
    Converter,
    SlicedCheckpoint,
    SourceTensor,
    is_mindspore_file,
    is_training_state,
    npy_tensor,
    read_mindspore_file,
)
from mf_core.errors import FileMissingError, UnsupportedError, WeightsError

_EMBEDDINGS = ("word_embedding", "position_embedding", "top_query_embedding")
_NAMES = {
    **{name: name for name in _EMBEDDINGS},  # of the .npy files
    "word_embedding_table": "word_embedding",
    "position_embedding_table": "position_embedding",
    "query_embedding_table": "top_query_embedding",
    "backbone.top_query_embedding.embedding_table": "top_query_embedding",
    **{
        f"backbone.{inner}{name}.embedding_table": name
        for name in ("word_embedding", "position_embedding")
        for inner in ("", "embedding.")
    },
}
_LAYER = re.compile(r"backbone\.(blocks\.(?P<number>\d+)|top_query_layer)\.(?P<part>.+)\Z")
_PARTS = {
    "layernorm1": "layernorm1",
    "layernorm2": "layernorm2",
    "attention.dense1": "attention.query",
    "attention.dense2": "attention.key",
    "attention.dense3": "attention.value",
    "attention.projection": "attention.projection",
    "output.mapping": "mlp.mapping",
    "output.projection": "mlp.projection",
}
_KINDS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}
_TRANSPOSED = re.compile(r"attention\.(query|key|value)\.weight\Z")

#: The release spells it "filerted".
_SLICE = re.compile(r"(filerted|filtered)_(?P<rank>\d+)\.ckpt\Z")


class PanguAlphaConverter(Converter):
    """Reads the single file of MindFormers (or of Peng Cheng's GPU release), and the slices of Peng Cheng's release."""

    layouts: ClassVar[tuple[str, ...]] = (
        "a MindSpore checkpoint in one file, such as MindFormers' pangualpha_2_6b.ckpt",
        "a folder with filerted_0.ckpt, filerted_1.ckpt, …, the strategy file (…strategy.ckpt) and word_embedding.npy, "
        "position_embedding.npy and top_query_embedding.npy of Peng Cheng's release",
    )

    def __init__(self, found: Sequence[SourceTensor], description: str, ignored: int) -> None:
        self._found = [_mapped(tensor) for tensor in found]
        self.description, self.ignored = description, ignored

    @classmethod
    def recognise(cls, source: Path) -> PanguAlphaConverter | None:
        """See the base class."""
        if source.is_dir():
            return cls._slices(source)
        if not is_mindspore_file(source):
            return None
        stored = read_mindspore_file(source)
        found = [tensor for name, tensor in stored.items() if not is_training_state(name)]
        return cls(found, "a MindSpore checkpoint in one file", len(stored) - len(found))

    @classmethod
    def _slices(cls, folder: Path) -> PanguAlphaConverter | None:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        files: dict[int, Path] = {}
        for path in paths:
            match = _SLICE.match(path.name)
            if match:
                other = files.setdefault(int(match["rank"]), path)
                if other != path:
                    raise WeightsError(f"{path} and {other} are slices of one device", value=str(path))
        if not files:
            return None
        sliced = SlicedCheckpoint(files, _only(paths, r".*strategy\.ckpt\Z", folder, "strategy file (…strategy.ckpt)"))
        names = [name for name in sliced.names if not is_training_state(name)]
        found = [sliced.tensor(name) for name in names]
        for name in _EMBEDDINGS:
            path = _only(paths, rf"(.*[_-])?{name}\.npy\Z", folder, f"{name}.npy")
            found.append(npy_tensor(path, name))
        return cls(found, f"Peng Cheng's release in {len(files)} slices", len(sliced.names) - len(names))

    def tensors(self) -> Sequence[SourceTensor]:
        """See the base class."""
        return self._found

    def config(self) -> Mapping[str, Any]:
        """See the base class; the number of heads shows in no tensor."""
        shapes = {tensor.name.removeprefix("backbone."): tensor.shape for tensor in self._found}
        fields = {}
        for name, field, axis in (
            ("word_embedding.weight", "vocab_size", 0),
            ("word_embedding.weight", "hidden_size", 1),
            ("position_embedding.weight", "seq_length", 0),
            ("top_query_layer.mlp.mapping.weight", "ffn_hidden_size", 1),
        ):
            if len(shapes.get(name, ())) == 2:
                fields[field] = shapes[name][axis]
        blocks = [int(match[1]) for name in shapes if (match := re.match(r"blocks\.(\d+)\.", name))]
        if blocks:
            fields["num_layers"] = max(blocks) + 2  # the blocks, and the top query layer
        return fields


def _mapped(tensor: SourceTensor) -> SourceTensor:
    """Return a tensor of a source under the model's name and in its layout."""
    name = _model_name(tensor)
    return (tensor.transposed() if _TRANSPOSED.search(name) else tensor).renamed(name)


def _model_name(tensor: SourceTensor) -> str:
    name = tensor.name
    if name in _NAMES:
        return f"backbone.{_NAMES[name]}.weight"
    match = _LAYER.match(name)
    stem, _, kind = (match["part"] if match else name).rpartition(".")
    if match and stem in _PARTS and kind in _KINDS:
        where = "top_query_layer" if match["number"] is None else f"blocks.{int(match['number'])}"
        return f"backbone.{where}.{_PARTS[stem]}.{_KINDS[kind]}"
    if stem == "backbone.layernorm" and kind in _KINDS:
        return f"{stem}.{_KINDS[kind]}"
    if match and re.match(r"output\.(ffn|router)\.", match["part"]):
        raise UnsupportedError(
            f"{tensor.origin} is of a mixture of experts, which is not converted", value=name,
            why="MindFormers' experts take a limited number of tokens of a batch, and ours every one",
        )  # fmt: skip
    raise WeightsError(
        f"{tensor.origin} is no tensor of a PanGu-alpha checkpoint", value=name,
        hint="check that the file is one of PanGu-alpha",
    )


def _only(paths: Sequence[Path], pattern: str, folder: Path, what: str) -> Path:
    """Return the one path whose name matches."""
    found = [path for path in paths if re.match(pattern, path.name)]
    if not found:
        raise FileMissingError(f"{folder} has no {what}", value=what, hint="put it into the folder with the slices")
    if len(found) > 1:
        raise WeightsError(
            f"{folder} has both {found[0].name} and {found[1].name}", value=[str(path) for path in found],
            hint="leave the one that belongs to the slices",
        )  # fmt: skip
    return found[0]
