"""Small checkpoints in the published layouts of PanGu-alpha, and what such a model computes, in numpy."""

import mindspore as ms
import numpy as np
from mindspore.train.node_strategy_pb2 import ParallelStrategyMap

from .numpy_reference import Reference

SIZES = {"vocab_size": 50, "hidden_size": 32, "ffn_hidden_size": 64, "num_layers": 3, "num_heads": 4, "seq_length": 16}

#: Our name of an attention's linear layer -> MindFormers'.
_QUERIES = {"query": "dense1", "key": "dense2", "value": "dense3"}


def make_tensors(seed=5, **changes):
    """Return a model's arrays under MindFormers' names."""
    sizes = {**SIZES, **changes}
    draw = np.random.default_rng(seed)
    width, inner = sizes["hidden_size"], sizes["ffn_hidden_size"]

    def normal(*shape):
        return (draw.standard_normal(shape) * 0.25).astype(np.float32)

    tensors = {
        "backbone.embedding.word_embedding.embedding_table": normal(sizes["vocab_size"], width),
        "backbone.embedding.position_embedding.embedding_table": normal(sizes["seq_length"], width),
        "backbone.layernorm.gamma": 1 + normal(width),
        "backbone.layernorm.beta": normal(width),
    }
    for layer in [*(f"blocks.{n}" for n in range(sizes["num_layers"] - 1)), "top_query_layer"]:
        for norm in ("layernorm1", "layernorm2"):
            tensors[f"backbone.{layer}.{norm}.gamma"] = 1 + normal(width)
            tensors[f"backbone.{layer}.{norm}.beta"] = normal(width)
        for part, shape in {
            "attention.projection": (width, width), "attention.dense1": (width, width),
            "attention.dense2": (width, width), "attention.dense3": (width, width), "output.mapping": (width, inner),
            "output.projection": (inner, width),
        }.items():  # fmt: skip
            tensors[f"backbone.{layer}.{part}.weight"] = normal(*shape)
            tensors[f"backbone.{layer}.{part}.bias"] = normal(shape[1])
    tensors["backbone.top_query_embedding.embedding_table"] = normal(sizes["seq_length"], width)
    return tensors


class PublishedReference(Reference):
    """The model as MindFormers has it: its names, and ``x @ weight.T`` in the layers ``dense1`` to ``dense3``."""

    def __init__(self, config, tensors):
        embeddings = {
            f"{name.split('.')[-2]}.weight": value for name, value in tensors.items() if "embedding_table" in name
        }
        super().__init__(config, {**tensors, **embeddings})

    def linear(self, name, x):
        stem, _, part = name.rpartition(".")
        if stem.endswith("attention") and part in _QUERIES:
            name = f"{stem}.{_QUERIES[part]}"
            return x @ self.arrays[f"{name}.weight"].T + self.arrays[f"{name}.bias"]
        return super().linear(name.replace(".mlp.", ".output."), x)

    def norm(self, name, x):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * self.arrays[f"{name}.gamma"] + self.arrays[f"{name}.beta"]


def save_file(path, tensors):
    """Write one file with MindSpore's own function."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ms.save_checkpoint([{"name": name, "data": ms.Tensor(value)} for name, value in tensors.items()], str(path))
    path.chmod(0o644)  # MindSpore leaves it unwritable
    return path


def save_release(folder, tensors, data=4, model=2):
    """Write slices, strategy and embeddings as Peng Cheng's release has them, of ``data`` times ``model`` devices.

    The release is of 64 times 8: linear layers are cut in 8 for the model's parallelism, and each of the cuts in 64,
    along the first axis, for the optimizer's. What all devices have is in every file, and so is how far training was.
    """
    folder.mkdir(parents=True)
    strategy = ParallelStrategyMap(current_stage=1)
    files = [{} for _ in range(data * model)]
    for name, value in tensors.items():
        if name.endswith("embedding_table"):
            np.save(folder / f"{name.split('.')[-2]}.npy", value)
            continue
        axis = None  # along which the model's parallelism cuts
        if "dense" in name or name.endswith(("attention.projection.weight", "output.projection.weight")):
            axis = 0
        elif "output.mapping" in name:
            axis = value.ndim - 1
        layout = strategy.parallel_layout_item.add(param_name=name).parallel_layouts
        layout.dev_matrix.add().dim.extend([data, model])
        layout.tensor_map.add().dim.extend([0 if number == axis else -1 for number in range(value.ndim)])
        layout.param_split_shape.add()
        layout.indices_offset.add()
        layout.field = 0
        layout.opt_weight_shard_step, layout.opt_weight_shard_size = (0, 0) if axis is None else (model, data)
        for rank, file in enumerate(files):
            part = value
            if axis is not None:
                part = np.split(np.split(value, model, axis)[rank % model], data, 0)[rank // model]
            file[name] = part
    state = {"global_step": np.int32(9), "loss_scale": np.float32(1024)}
    for rank, file in enumerate(files):
        save_file(folder / f"filerted_{rank}.ckpt", {**file, **state})
    (folder / "pangu_alpha_ckpt_strategy.ckpt").write_bytes(strategy.SerializeToString())
    return folder
