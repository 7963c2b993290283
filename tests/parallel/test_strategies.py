"""A model's plan as strategies for MindSpore's parallel compiler: as data, and in the graphs that MindSpore compiles.

The compiler that cuts by them is there on Ascend alone; what it makes of them is not tested here.
"""

import math
from typing import ClassVar

import mindspore as ms
import numpy as np
import pytest
from mf_gpt2.config import GPT2Config
from mf_gpt2.modeling import GPT2LMHeadModel
from mf_pangualpha.config import PanguAlphaConfig
from mf_pangualpha.modeling import PanguAlphaHeadModel
from mindspore import nn, ops

from mf_core.context import ParallelContextConfig
from mf_core.errors import ArgumentError, UnsupportedError
from mf_core.nn import skip_init
from mf_core.parallel import ParallelConfig
from mf_core.parallel.auto_parallel import auto_parallel, auto_parallel_settings, shard
from mf_core.parallel.strategies import strategies
from mf_core.tasks.causal_lm import CausalLMLoss

from ..support.compiled import operators

ROWS, POSITIONS = 8, 16
SIZES = {
    "vocab_size": 64, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "seq_length": POSITIONS,
    "compute_dtype": "float32",
}  # fmt: skip
PANGU = {**SIZES, "ffn_hidden_size": 64}
EXPERTS = {**PANGU, "use_moe": True, "expert_num": 2, "per_token_num_experts_chosen": 2}
MODELS = {
    "gpt2": lambda **more: GPT2LMHeadModel(GPT2Config(**{**SIZES, **more})),
    "pangualpha": lambda **more: PanguAlphaHeadModel(PanguAlphaConfig(**{**PANGU, **more})),
    "experts": lambda **more: PanguAlphaHeadModel(PanguAlphaConfig(**{**EXPERTS, **more})),
}
LAYOUTS = {
    "one device": ParallelConfig(),
    "copies": ParallelConfig(data_parallel=4),
    "parts": ParallelConfig(model_parallel=4),
    "copies and parts": ParallelConfig(data_parallel=2, model_parallel=2, vocab_emb_dp=False),
    "positions": ParallelConfig(data_parallel=2, model_parallel=4, use_seq_parallel=True),
    "the whole grid": ParallelConfig(
        data_parallel=4, model_parallel=2, pipeline_stage=2, micro_batch_num=2, optimizer_shard=True
    ),
}  # fmt: skip
#: Operators that need no strategy: they change a shape, a type or nothing.
FREE = {"BroadcastTo", "Cast", "Constant", "Depend", "Load", "MakeTuple", "Reshape", "TupleGetItem", "UpdateState"}


def loss_of(family, **more):
    network = CausalLMLoss(MODELS[family](**more))
    network.set_train()
    return network


def batch(packed=False):
    ids = ms.Tensor(np.zeros((ROWS, POSITIONS + 1), np.int32))
    mask = ms.Tensor(np.ones((ROWS, POSITIONS), np.float32))
    apart = (ms.Tensor(np.zeros((ROWS, POSITIONS), np.int32)),) * 2  # positions and segments
    return (ids, mask, *apart) if packed else (ids, mask)


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_operator_has_a_strategy_for_all_devices_of_a_stage(family, layout):
    network, config = loss_of(family), LAYOUTS[layout]
    found = strategies(network, config, rows=ROWS, positions=POSITIONS)
    owned = {
        ".".join(filter(None, (path, name))): primitive
        for path, cell in network.cells_and_names()
        for name, primitive in cell._primitives.items()
    }
    assert found.keys() == owned.keys() and len(found) > 50
    devices = config.data_parallel * config.model_parallel
    for path, strategy in found.items():
        assert strategy.parts * strategy.replicas == devices, path
        for cut in strategy.inputs:
            assert strategy.parts % math.prod(cut) == 0, path
        assert parts_of(owned[path], strategy.inputs) == strategy.parts, path


def parts_of(operator, cuts):
    """Return into how many different calculations an operator falls."""
    counts = [math.prod(cut) for cut in cuts]
    if operator.name == "Gather":  # each part of the rows for each part of the ids
        return math.prod(counts)
    if operator.name == "MatMul":  # the axis that is summed over is one axis of both
        summed = cuts[0][1]
        assert summed == cuts[1][1 if operator.transpose_b else 0]
        return counts[0] * counts[1] // summed
    return max(counts)


@pytest.mark.parametrize(
    ("family", "layout", "packed"),
    [("gpt2", "positions", False), ("pangualpha", "the whole grid", True), ("experts", "copies and parts", False)],
)
def test_the_compiled_graph_carries_strategies_that_divide_its_shapes(family, layout, packed):
    network = loss_of(family)
    given = {(p.name, s.inputs) for p, s in _shard(network, LAYOUTS[layout], packed=packed)}
    split = 0
    for operator in operators(network, *batch(packed)):
        if operator.strategy is None:
            # What is left is made on each device: random numbers of one row, and the means of a batch.
            shape = operator.output or ()
            assert operator.kind in FREE or math.prod(shape[:1]) in (1, 2) or len(shape) < 2, operator
            continue
        assert (operator.kind, operator.strategy) in given
        split += any(parts > 1 for cut in operator.strategy for parts in cut)
        shapes = (operator.output,) if operator.kind == "OneHot" else operator.inputs  # that one says the result's axes
        for cut, shape in zip(operator.strategy, shapes, strict=False):
            if cut and shape is not None:
                assert len(cut) == len(shape), operator
                assert all(size % parts == 0 for size, parts in zip(shape, cut, strict=True)), operator
    assert split > 50


def _shard(network, config, packed=False):
    found = shard(network, config, rows=ROWS, positions=POSITIONS, packed=packed)
    cells = dict(network.cells_and_names())
    for path, strategy in found.items():
        cell, _, name = path.rpartition(".")
        yield cells[cell]._primitives[name], strategy


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("packed", [False, True], ids=["", "packed"])
def test_the_operators_compute_what_they_did(family, packed):
    network = loss_of(family, hidden_dropout_rate=0.0, attention_dropout_rate=0.0, embedding_dropout_prob=0.0)
    rng = np.random.default_rng(3)
    ids = ms.Tensor(rng.integers(0, 64, (ROWS, POSITIONS + 1)).astype(np.int32))
    given = (ids, *batch(packed)[1:])
    gradient = ms.value_and_grad(lambda *x: network(*x)[0], None, network.trainable_params())
    before, gradients = gradient(*given)
    shard(network, LAYOUTS["copies and parts"], rows=ROWS, positions=POSITIONS, packed=packed)
    after, changed = gradient(*given)
    np.testing.assert_allclose(after.asnumpy(), before.asnumpy(), atol=1e-6)
    for one, other in zip(gradients, changed, strict=True):
        np.testing.assert_allclose(other.asnumpy(), one.asnumpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("family", "sizes", "config"),
    [
        (
            "gpt2", {"vocab_size": 50257, "hidden_size": 5120, "num_heads": 40, "seq_length": 1024},
            ParallelConfig(
                data_parallel=4, model_parallel=8, pipeline_stage=2, micro_batch_num=4, use_seq_parallel=True
            ),
        ),
        (
            "pangualpha", {"vocab_size": 40000, "hidden_size": 5120, "num_heads": 40, "ffn_hidden_size": 20480},
            ParallelConfig(data_parallel=4, model_parallel=8, pipeline_stage=2, micro_batch_num=4, vocab_emb_dp=False),
        ),
    ],
)  # fmt: skip
def test_weights_of_thirteen_billion_divide(family, sizes, config):
    with skip_init():
        model = MODELS[family](**sizes)
    found = strategies(model, config, rows=32, positions=1024)
    cells, parts = dict(model.cells_and_names()), set()
    for path, strategy in found.items():
        cell, _, name = path.rpartition(".")
        if name == "matmul":
            weight = cells[cell].weight.shape
            assert all(size % count == 0 for size, count in zip(weight, strategy.inputs[1], strict=True)), path
            parts.add(strategy.inputs[1])
    assert parts == {(1, 8), (8, 1)}


def test_a_block_of_gpt2():
    config = ParallelConfig(data_parallel=4, model_parallel=2, use_seq_parallel=True)
    found = strategies(MODELS["gpt2"](), config, rows=ROWS, positions=POSITIONS)
    inputs = {path.removeprefix("transformer.h.0."): s.inputs for path, s in found.items() if ".h.0." in path}
    assert inputs["ln_1.norm"] == ((4, 2, 1), (1,), (1,))
    assert inputs["attn.c_attn.matmul"] == ((4, 1), (1, 2))
    assert inputs["attn.core.scores"] == ((4, 2, 1, 1), (4, 2, 1, 1))
    assert inputs["attn.c_proj.matmul"] == ((4, 2), (2, 1))
    assert inputs["mlp.c_fc.bias_add"] == ((4, 2), (2,))
    assert inputs["mlp.act.multiply"] == ((4, 1, 2), (4, 1, 2))
    assert inputs["add"] == ((4, 2, 1), (4, 2, 1))


def test_what_a_sum_over_devices_leaves_is_split_by_position_where_that_is_one_cut():
    """With one row on each copy, the matrix product may hand each device its positions at once."""
    config = ParallelConfig(data_parallel=2, model_parallel=2, use_seq_parallel=True)
    one, several = (
        strategies(MODELS["gpt2"](), config, rows=rows, positions=POSITIONS)["transformer.h.0.mlp.c_proj.matmul"]
        for rows in (2, 4)
    )
    assert one.outputs == ((4, 1),) and several.outputs is None


def test_layers_know_their_stage_and_their_group_of_gradients():
    network, config = loss_of("gpt2", num_layers=4), LAYOUTS["the whole grid"]
    shard(network, config, rows=ROWS, positions=POSITIONS)
    blocks = network.model.blocks
    assert [block.pipeline_stage for block in blocks] == [0, 0, 1, 1]
    assert network.model.transformer.wte.pipeline_stage == 0 and network.model.transformer.ln_f.pipeline_stage == 1
    groups = [next(iter(block.trainable_params())).comm_fusion for block in blocks]
    assert groups == [1, 2, 3, 4]


def refused(error, words, network, config=LAYOUTS["copies and parts"], **sizes):
    with pytest.raises(error) as caught:
        shard(network, config, **{"rows": ROWS, "positions": POSITIONS, **sizes})
    assert all(word in str(caught.value) for word in words), caught.value
    owned = [p for _, cell in network.cells_and_names() for p in cell._primitives.values()]
    assert not any(hasattr(p, "in_strategy") and p.in_strategy for p in owned)


def test_what_is_refused():
    positions = ParallelConfig(model_parallel=4, use_seq_parallel=True)
    refused(ArgumentError, ["7 rows", "data_parallel=2"], loss_of("gpt2"), rows=7)
    refused(ArgumentError, ["18 positions", "model_parallel=4"], loss_of("gpt2"), positions, positions=18)
    refused(ArgumentError, ["attention heads", "model_parallel=8"], loss_of("gpt2"), ParallelConfig(model_parallel=8))
    experts = ParallelConfig(data_parallel=2, expert_parallel=2)
    refused(UnsupportedError, ["experts", "expert_parallel=1"], loss_of("experts"), experts)
    refused(ArgumentError, ["Dense is no model"], nn.Dense(2, 2))


def test_an_operator_of_which_nothing_is_said_is_named():
    class Scaled(nn.Cell):
        def __init__(self):
            super().__init__()
            self.multiply = ops.Mul()

    network = loss_of("gpt2")
    network.model.transformer.h[1].mlp.scaled = Scaled()
    refused(
        UnsupportedError,
        ["transformer.h.1.mlp.scaled.multiply (Mul)", "Scaled.operators has no entry 'multiply'", '"rows positions -"'],
        network,
    )
    Scaled.operators = {"multiply": ("rows sideways -", "")}
    refused(UnsupportedError, ["an axis called 'sideways'", "the words are"], network)
    Scaled.operators = {"multiply": ("rows positions -", "")}
    found = shard(network, LAYOUTS["copies and parts"], rows=ROWS, positions=POSITIONS)
    assert found["model.transformer.h.1.mlp.scaled.multiply"].inputs == ((2, 1, 1), ())


class Plain(nn.Cell):
    operators: ClassVar = {}

    def construct(self, x):
        return x


@pytest.mark.parametrize(
    ("config", "mode", "asked", "expected"),
    [
        (
            "copies", "SEMI_AUTO_PARALLEL", {},
            {"parallel_mode": "semi_auto", "dataset_strategy": {"config": ((4, 1), (4, 1))}},
        ),
        (
            "the whole grid", "semi_auto_parallel", {"parallel_optimizer_config": {"parallel_optimizer_threshold": 32}},
            {
                "parallel_mode": "semi_auto", "dataset_strategy": {"config": ((4, 1), (4, 1))},
                "pipeline": {"stages": 2, "scheduler": "1f1b"}, "hsdp": {"threshold": 32},
            },
        ),
        (
            "copies", "AUTO_PARALLEL", {"gradients_mean": True},
            {
                "parallel_mode": "recursive_programming", "dataset_strategy": {"config": ((4, 1), (4, 1))},
                "enable_gradients_mean": {},
            },
        ),
        (
            "parts", "AUTO_PARALLEL", {"search_mode": "sharding_propagation"},
            {"parallel_mode": "sharding_propagation", "dataset_strategy": {"config": "full_batch"}},
        ),
    ],
)  # fmt: skip
def test_strategies_given_to_the_compiler(config, mode, asked, expected):
    asked = ParallelContextConfig(**asked)
    assert auto_parallel_settings(LAYOUTS[config], mode, asked=asked) == expected
    told = auto_parallel(Plain(), LAYOUTS[config], mode, asked=asked)
    assert type(told).__name__ == "AutoParallel"
    assert told._parallel_mode == expected["parallel_mode"]
    assert told._pipeline_stages == expected.get("pipeline", {}).get("stages", 1)


def test_an_unknown_mode():
    with pytest.raises(ArgumentError, match=r"no mode 'data_parallel'.*\n.*SEMI_AUTO_PARALLEL"):
        auto_parallel_settings(ParallelConfig(), "data_parallel")
