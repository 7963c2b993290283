"""Grids of devices and models' parallel plans, as data: who is in which group, and who has which part of what."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from mf_gpt2.config import GPT2Config
from mf_gpt2.modeling import GPT2LMHeadModel
from mf_pangualpha.config import PanguAlphaConfig
from mf_pangualpha.modeling import PanguAlphaHeadModel

from mf_core.parallel import Layout
from mf_core.parallel.plan import ShardSpec, Split, shard_specs

GRIDS = [
    Layout(), Layout(data=4), Layout(tensor=3), Layout(pipeline=2), Layout(data=2, tensor=2, pipeline=2),
    Layout(data=4, tensor=2, expert=2), Layout(data=6, tensor=1, pipeline=3, expert=3),
    Layout(data=2, pipeline=4, expert=2),
]  # fmt: skip
#: Axis -> the size of each of its groups.
SIZES = {
    "data": lambda g: g.data,
    "tensor": lambda g: g.tensor,
    "pipeline": lambda g: g.pipeline,
    "model": lambda g: g.tensor * g.pipeline,
    "ends": lambda g: min(2, g.pipeline),
    "expert": lambda g: g.expert,
    "expert_copies": lambda g: g.data // g.expert,
    "world": lambda g: g.size,
}
GPT2 = GPT2Config(vocab_size=36, hidden_size=24, num_layers=4, num_heads=6, seq_length=8)
PANGU_FIELDS = {
    "vocab_size": 36, "hidden_size": 24, "num_layers": 4, "num_heads": 6, "ffn_hidden_size": 48, "seq_length": 8,
}  # fmt: skip


def shapes_of(model):
    return {name: tuple(parameter.shape) for name, parameter in model.parameters_and_names()}


@pytest.fixture(scope="module")
def models():
    """Name -> model class and the shapes of its parameters."""
    gpt2 = GPT2LMHeadModel(GPT2)
    pangu = PanguAlphaHeadModel(PanguAlphaConfig(**PANGU_FIELDS))
    experts = PanguAlphaHeadModel(PanguAlphaConfig(**PANGU_FIELDS, use_moe=True, expert_num=4))
    return {
        name: (model.parallel_plan, shapes_of(model))
        for name, model in (("gpt2", gpt2), ("pangualpha", pangu), ("experts", experts))
    }


# Grids --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("axis", SIZES)
def test_every_rank_is_in_one_group_of_each_axis(grid, axis):
    groups = [grid.at(rank).group(axis) for rank in range(grid.size)]
    for rank, group in enumerate(groups):
        assert list(group) == sorted(set(group))
        assert len(group) == SIZES[axis](grid)
        inside = axis != "ends" or grid.at(rank).is_first or grid.at(rank).is_last
        assert (rank in group) == inside
        assert all(groups[other] == group for other in group)
    members = Counter(rank for group in set(groups) for rank in group)
    everybody = [r for r in range(grid.size) if axis != "ends" or grid.at(r).is_first or grid.at(r).is_last]
    assert members == Counter(everybody)


def test_processes_that_share_layers_are_neighbours_and_stages_are_far_apart():
    grid = Layout(data=2, tensor=2, pipeline=2, expert=2, rank=5)
    assert (grid.stage, grid.data_rank, grid.tensor_rank) == (1, 0, 1)
    assert (grid.is_first, grid.is_last) == (False, True)
    groups = {axis: grid.group(axis) for axis in SIZES}
    assert groups == {
        "data": (5, 7), "tensor": (4, 5), "pipeline": (1, 5), "model": (0, 1, 4, 5), "ends": (1, 5), "expert": (5, 7),
        "expert_copies": (5,), "world": tuple(range(8)),
    }  # fmt: skip


def test_experts_are_shared_by_copies_next_to_each_other():
    groups = [Layout(data=4, expert=2, rank=rank) for rank in range(4)]
    assert [grid.group("expert") for grid in groups] == [(0, 1), (0, 1), (2, 3), (2, 3)]
    assert [grid.group("expert_copies") for grid in groups] == [(0, 2), (1, 3), (0, 2), (1, 3)]


@pytest.mark.parametrize("grid", GRIDS)
def test_coordinates_and_rank_convert_into_each_other(grid):
    everywhere = product(range(grid.pipeline), range(grid.data), range(grid.tensor))
    ranks = [grid.rank_of(*coordinates) for coordinates in everywhere]
    assert ranks == list(range(grid.size))
    for rank in ranks:
        here = grid.at(rank)
        assert grid.rank_of(here.stage, here.data_rank, here.tensor_rank) == rank


def test_stages_have_all_layers_once():
    grid = Layout(data=2, tensor=2, pipeline=3)
    owned = {grid.at(rank).stage: list(grid.at(rank).layers_of(6)) for rank in range(grid.size)}
    assert owned == {0: [0, 1], 1: [2, 3], 2: [4, 5]}


# Splits -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "axis", "fused", "count"),
    [
        ((12,), 0, 1, 3), ((12,), 0, 3, 2), ((5, 18), 1, 3, 3), ((5, 18), 1, 1, 6), ((6, 7), 0, 1, 2),
        ((3, 10, 7), 1, 5, 2), ((9, 1), 0, 3, 3), ((4, 6), 1, 3, 1),
    ],
)  # fmt: skip
def test_pieces_join_to_the_whole(shape, axis, fused, count):
    whole = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    split = Split(axis, fused)
    pieces = [split.shard(whole, index, count) for index in range(count)]
    assert {piece.shape for piece in pieces} == {split.shape(shape, count)}
    assert np.array_equal(split.join(pieces), whole)


def test_each_piece_of_a_joint_projection_has_its_share_of_each_weight():
    query, key, value = (np.arange(4) + start for start in (0, 10, 20))
    joint = np.concatenate((query, key, value))[None]
    assert Split(1, 3).shard(joint, 1, 2).tolist() == [[2, 3, 12, 13, 22, 23]]
    assert Split(1).shard(joint, 1, 2).tolist() == [[12, 13, 20, 21, 22, 23]]


# Models' plans ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2", "pangualpha", "experts"])
@pytest.mark.parametrize("grid", [Layout(), Layout(tensor=3), Layout(pipeline=4), Layout(data=2, tensor=2, pipeline=2)])
@pytest.mark.parametrize("vocabulary", [False, True])
def test_every_parameter_is_somewhere_and_its_pieces_make_the_whole(models, name, grid, vocabulary):
    plan, shapes = models[name]
    specs = shard_specs(plan, shapes, grid, vocabulary=vocabulary)
    assert list(specs) == list(shapes)
    draw = np.random.default_rng(1)
    for parameter, spec in specs.items():
        assert spec.stages, parameter
        assert spec.shape == shapes[parameter]
        whole = draw.random(spec.shape)
        for stage, data in product(range(grid.pipeline), range(grid.data)):
            holders = [grid.at(grid.rank_of(stage, data, t)) for t in range(grid.tensor)]
            assert {spec.is_on(holder) for holder in holders} == {stage in spec.stages}
            pieces = [spec.shard(whole, holder) for holder in holders]
            assert {piece.shape for piece in pieces} == {spec.local_shape(grid)}
            joined = pieces[0] if spec.split is None else spec.split.join(pieces)
            assert np.array_equal(joined, whole), parameter


@pytest.mark.parametrize("name", ["gpt2", "pangualpha", "experts"])
def test_stages_have_equal_numbers_of_layers_and_what_is_tied_is_at_both_ends(models, name):
    plan, shapes = models[name]
    grid = Layout(pipeline=4)
    specs = shard_specs(plan, shapes, grid)
    counts = Counter(stage for spec in specs.values() for stage in spec.stages)
    assert set(counts) == set(range(4))
    words = {"gpt2": "transformer.wte.weight"}.get(name, "backbone.word_embedding.weight")
    tied = {parameter for parameter, spec in specs.items() if len(spec.stages) > 1}
    assert tied == {words}
    assert specs[words].stages == (0, 3)
    stages = {}
    for parameter, spec in specs.items():
        parts = parameter.split(".")
        layer = ".".join(parts[:3]) if parts[1] in ("h", "blocks") else ".".join(parts[:2])
        if parts[1] in ("h", "blocks", "top_query_layer"):
            stages.setdefault(layer, set()).update(spec.stages)
    assert sorted(map(tuple, stages.values())) == [(0,), (1,), (2,), (3,)]


def test_gpt2s_linears_are_split_and_its_norms_are_whole(models):
    specs = shard_specs(*models["gpt2"], Layout(tensor=2))
    layer = {name.removeprefix("transformer.h.1."): spec for name, spec in specs.items() if ".h.1." in name}
    assert {name: spec.split for name, spec in layer.items() if spec.split} == {
        "attn.c_attn.weight": Split(1, 3), "attn.c_attn.bias": Split(0, 3), "attn.c_proj.weight": Split(0),
        "mlp.c_fc.weight": Split(1), "mlp.c_fc.bias": Split(0), "mlp.c_proj.weight": Split(0),
    }  # fmt: skip
    assert {name for name, spec in layer.items() if not spec.split} == {
        "ln_1.weight", "ln_1.bias", "ln_2.weight", "ln_2.bias", "attn.c_proj.bias", "mlp.c_proj.bias",
    }  # fmt: skip
    assert specs["transformer.wte.weight"].split is None
    by_words = shard_specs(*models["gpt2"], Layout(tensor=2), vocabulary=True)
    assert by_words["transformer.wte.weight"].split == Split(0)
    assert by_words["transformer.wpe.weight"].split is None


def test_each_expert_of_a_mixture_has_one_process(models):
    plan, shapes = models["experts"]
    grid = Layout(data=4, tensor=2, pipeline=2, expert=2)
    specs = shard_specs(plan, shapes, grid)
    for parameter, spec in specs.items():
        holders = [rank for rank in range(grid.size) if spec.is_on(grid.at(rank))]
        if ".experts." not in parameter:
            assert spec.expert is None
            assert len(holders) == grid.data * grid.tensor * len(spec.stages)
            continue
        number = int(parameter.split(".experts.")[1].split(".")[0])
        assert spec.expert == number // 2
        # Half of the copies, by turns, have it; so each group of copies that share experts has it once.
        assert {grid.at(rank).data_rank for rank in holders} == {spec.expert, spec.expert + 2}
    for rank in range(grid.size):
        held = {name.split(".experts.")[1].split(".")[0] for name, spec in specs.items()
                if ".experts." in name and spec.is_on(grid.at(rank))}  # fmt: skip
        assert len(held) == 2
    without = shard_specs(plan, shapes, Layout(data=4))
    assert {spec.expert for spec in without.values()} == {None}


def test_a_whole_parameter_is_on_its_stages():
    spec = ShardSpec((3,), None, (1,))
    grid = Layout(tensor=2, pipeline=2)
    assert [spec.is_on(grid.at(rank)) for rank in range(4)] == [False, False, True, True]
    assert spec.local_shape(grid) == (3,)


@pytest.mark.parametrize(("axis", "fused"), [(0, 1), (0, 3), (1, (4, 1, 1)), (0, (2, 1, 1))])
def test_shards_of_fused_weights_join_to_the_whole(axis, fused):
    shape = [5, 7]
    shape[axis] = 24
    whole = np.arange(np.prod(shape)).reshape(shape)
    split = Split(axis, fused)
    shards = [split.shard(whole, index, 2) for index in range(2)]
    assert all(shard.shape == split.shape(whole.shape, 2) for shard in shards)
    np.testing.assert_array_equal(split.join(shards), whole)
    start = 0
    for size in split.sizes:  # each process has its half of each weight, in order
        each = 24 // sum(split.sizes) * size
        half = np.take(whole, range(start, start + each // 2), axis)
        np.testing.assert_array_equal(np.take(shards[0], range(start // 2, start // 2 + each // 2), axis), half)
        start += each
