"""What MindSpore compiles a network to: its operators, with the shapes and the strategies that they carry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mindspore.graph.api import _cell_graph_executor as executor
from mindspore.train.mind_ir_pb2 import ModelProto


@dataclass(frozen=True)
class Operator:
    """An operator of a compiled graph.

    Attributes:
        kind: ``"MatMul"``.
        inputs: Shapes of its inputs; None: a number or a tuple.
        output: Shape of its result; None: likewise.
        strategy: The parts of each axis of each input that it carries; None: it carries none.
    """

    kind: str
    inputs: tuple[tuple[int, ...] | None, ...]
    output: tuple[int, ...] | None
    strategy: tuple[tuple[int, ...], ...] | None


def operators(network: Any, *inputs: Any) -> Iterator[Operator]:
    """Compile a network and yield its graph's operators."""
    phase, _ = executor.compile(network, *inputs, phase="export.mindir", do_convert=False)
    model = ModelProto()
    model.ParseFromString(executor._get_func_graph_proto(network, phase, "mind_ir"))
    assert not model.functions, "a graph of several functions"
    primitives = {f"REF::{primitive.name}": primitive for primitive in model.primitives}
    shapes = {
        **{value.name: tuple(value.tensor[0].dims) for value in model.graph.input},
        **{value.name: tuple(value.dims) for value in model.graph.parameter},
        **{node.output[0]: _shape(node) for node in model.graph.node},
    }
    for node in model.graph.node:
        primitive = primitives.get(node.op_type)
        attributes = {} if primitive is None else {a.name: a for a in primitive.attribute}
        yield Operator(
            node.op_type if primitive is None else primitive.op_type,
            tuple(shapes.get(name) for name in node.input),
            _shape(node),
            _strategy(attributes["in_strategy"]) if "in_strategy" in attributes else None,
        )


def _strategy(attribute: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(part.ints[0] for part in value.values) for value in attribute.values)


def _shape(node: Any) -> tuple[int, ...] | None:
    found = next((a for a in node.attribute if a.name == "shape"), None)
    return tuple(found.tensors[0].dims) if found is not None and len(found.tensors) == 1 else None
