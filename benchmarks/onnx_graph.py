"""GPT-2 with a key-value cache as an ONNX graph, of the operators that onnxruntime has for such models.

The same operators are what onnxruntime's own optimizer makes of an exported GPT-2: attention over the cache is one.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

ORT = "com.microsoft"


class Graph:
    """A graph as it is written: each call adds an operator and returns the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, values: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(np.array(values, order="C"), name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", more: tuple[str, ...] = (), **attributes: object) -> str:
        output = output or f"{kind}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output, *more], **attributes))
        return output


def write_gpt2(folder: Path, file: Path) -> tuple[int, int, int]:
    """Write the graph of a checkpoint in transformers' form; return its layers, heads and the size of a head.

    The graph takes ``ids`` and ``positions`` ``(B, S)`` and for each layer ``past.N`` ``(2, B, H, P, D)``; it returns
    ``logits`` of the last position ``(B, V)`` and for each layer ``present.N`` ``(2, B, H, P + S, D)``.
    """
    config = json.loads((folder / "config.json").read_text())
    layers, heads, width, epsilon = (config[key] for key in ("n_layer", "n_head", "n_embd", "layer_norm_epsilon"))
    tensors = load_file(folder / "model.safetensors")
    graph = Graph()

    def given(name: str) -> str:
        return graph.weight(name, tensors[f"transformer.{name}"])

    def norm(name: str, hidden: str) -> str:
        parts = given(f"{name}.weight"), given(f"{name}.bias")
        return graph.add("LayerNormalization", hidden, *parts, axis=-1, epsilon=epsilon)

    def linear(name: str, hidden: str) -> str:
        return graph.add("Add", graph.add("MatMul", hidden, given(f"{name}.weight")), given(f"{name}.bias"))

    hidden = graph.add(
        "Add", graph.add("Gather", given("wte.weight"), "ids"), graph.add("Gather", given("wpe.weight"), "positions")
    )
    for layer in range(layers):
        block = f"h.{layer}"
        attention = graph.add(
            "Attention", norm(f"{block}.ln_1", hidden), given(f"{block}.attn.c_attn.weight"),
            given(f"{block}.attn.c_attn.bias"), "", f"past.{layer}", more=(f"present.{layer}",), domain=ORT,
            num_heads=heads, unidirectional=1,
        )  # fmt: skip
        hidden = graph.add("Add", linear(f"{block}.attn.c_proj", attention), hidden)
        inner = graph.add(
            "MatMul", norm(f"{block}.ln_2", hidden), given(f"{block}.mlp.c_fc.weight")
        )
        inner = graph.add("FastGelu", inner, given(f"{block}.mlp.c_fc.bias"), domain=ORT)
        hidden = graph.add("Add", linear(f"{block}.mlp.c_proj", inner), hidden)
    last = graph.add("Gather", norm("ln_f", hidden), graph.weight("last", np.array(-1)), axis=1)
    graph.add("MatMul", last, graph.weight("head", tensors["transformer.wte.weight"].T), output="logits")

    def value(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    inputs = [value(name, "B", "S", kind=TensorProto.INT64) for name in ("ids", "positions")]
    inputs += [value(f"past.{layer}", 2, "B", heads, "P", width // heads) for layer in range(layers)]
    outputs = [value("logits", "B", config["vocab_size"])]
    outputs += [value(f"present.{layer}", 2, "B", heads, "T", width // heads) for layer in range(layers)]
    made = helper.make_graph(graph.nodes, "gpt2", inputs, outputs, graph.weights)
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(ORT, 1)]), file
    )
    return layers, heads, width // heads
