"""Training in clusters of real processes: the same losses, whatever the grid, as in one process."""

import pytest

from ..support.clusters import run_scenarios

pytestmark = pytest.mark.slow

EXPERTS = {
    "model_type": "pangualpha", "ffn_hidden_size": 32, "use_moe": True, "expert_num": 4, "eos_token_id": 1,
    "per_token_num_experts_chosen": 2, "pad_token_id": 2, "bos_token_id": 0, "eod_token_id": 1, "num_layers": 2,
    "embedding_dropout_prob": 0.0, "hidden_dropout_rate": 0.0, "attention_dropout_rate": 0.0,
}  # fmt: skip
PANGU = {
    **EXPERTS, "use_moe": False, "num_layers": 2, "embedding_dropout_prob": 0.1, "hidden_dropout_rate": 0.1,
    "attention_dropout_rate": 0.1,
}  # fmt: skip
#: For pipelines; other runs train one layer.
TWO_LAYERS = {"num_layers": 2}
#: Runs of one process, by what the runs of clusters are compared with.
ALONE = [
    {"name": "gpt2", "evaluate": True},
    {"name": "two layers", "model": TWO_LAYERS, "evaluate": True},
    {"name": "long", "model": TWO_LAYERS, "args": {"max_steps": 20}},
    {"name": "accumulated", "args": {"gradient_accumulation_steps": 2, "packing": "apart"}},
    {"name": "experts", "model": EXPERTS},
    {"name": "pangu", "model": PANGU},
    {"name": "lora", "pet_method": "lora"},
]
#: Number of processes -> name -> (what it equals, the scenario).
CLUSTERS = {
    2: {
        "data": ("gpt2", {"parallel": {"data_parallel": 2}, "evaluate": True, "seed_by_rank": True}),
        "data by default": ("gpt2", {}),
        "own batches": ("own", {"dataset": "own"}),
        "optimizer": ("gpt2", {"parallel": {"data_parallel": 2, "optimizer_shard": True}}),
        "tensor": ("gpt2", {"parallel": {"model_parallel": 2}, "evaluate": True}),
        "tensor, recomputed": ("gpt2", {"parallel": {"model_parallel": 2}, "recompute": True}),
        "vocabulary": ("gpt2", {"parallel": {"model_parallel": 2, "vocab_emb_dp": False}, "evaluate": True}),
        "positions": ("gpt2", {"parallel": {"model_parallel": 2, "use_seq_parallel": True}, "evaluate": True}),
        "pipeline": (
            "two layers",
            {"model": TWO_LAYERS, "parallel": {"pipeline_stage": 2, "micro_batch_num": 4}, "evaluate": True},
        ),
        "accumulated": (
            "accumulated",
            {"parallel": {"data_parallel": 2, "optimizer_shard": True}, "args": {"gradient_accumulation_steps": 2}},
        ),
        "experts": ("experts", {"model": EXPERTS, "parallel": {"data_parallel": 2, "expert_parallel": 2}}),
        "experts, positions": (
            "experts", {"model": EXPERTS, "parallel": {"model_parallel": 2, "use_seq_parallel": True}}
        ),
        "pangu, pipeline": ("pangu", {"model": PANGU, "parallel": {"pipeline_stage": 2, "micro_batch_num": 2}}),
        "lora": ("lora", {"pet_method": "lora"}),
    },
    4: {
        "data, tensor": (
            "gpt2", {"parallel": {"data_parallel": 2, "model_parallel": 2, "optimizer_shard": True}, "evaluate": True}
        ),
        "data, pipeline": (
            "two layers",
            {
                "model": TWO_LAYERS, "evaluate": True,
                "parallel": {"data_parallel": 2, "pipeline_stage": 2, "micro_batch_num": 2},
            },
        ),
        "tensor, pipeline": (
            "two layers",
            {
                "model": TWO_LAYERS,
                "parallel": {
                    "model_parallel": 2, "pipeline_stage": 2, "micro_batch_num": 3 + 1, "use_seq_parallel": True,
                    "vocab_emb_dp": False,
                },
                "evaluate": True,
            },
        ),
        "experts, optimizer": (
            "experts",
            {"model": EXPERTS, "parallel": {"data_parallel": 4, "expert_parallel": 2, "optimizer_shard": True}},
        ),
        "pangu, tensor": (
            "pangu", {"model": PANGU, "parallel": {"data_parallel": 2, "model_parallel": 2, "use_seq_parallel": True}}
        ),
    },
    8: {
        "all": (
            "two layers",
            {
                "model": TWO_LAYERS,
                "parallel": {
                    "data_parallel": 2, "model_parallel": 2, "pipeline_stage": 2, "micro_batch_num": 2,
                    "optimizer_shard": True,
                },
                "evaluate": True,
            },
        ),
    },
    16: {
        "the document's": (
            "long",
            {
                "model": TWO_LAYERS,
                "parallel": {
                    "data_parallel": 4, "model_parallel": 2, "pipeline_stage": 2, "micro_batch_num": 2,
                    "optimizer_shard": True,
                },
                "args": {"max_steps": 20},
            },
        ),
    },
}  # fmt: skip
CASES = [(size, name) for size, runs in CLUSTERS.items() for name in runs]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    own = {"name": "own", "dataset": "own"}
    results, _ = run_scenarios(tmp_path_factory.mktemp("alone"), 1, [*ALONE, own])
    return results


@pytest.fixture(scope="module")
def clusters(tmp_path_factory):
    """Return a function that gives the results of the cluster of so many processes, which runs once."""
    done = {}

    def results(size):
        if size not in done:
            scenarios = [{"name": name, **scenario} for name, (_, scenario) in CLUSTERS[size].items()]
            done[size], _ = run_scenarios(tmp_path_factory.mktemp(f"cluster-{size}"), size, scenarios)
        return done[size]

    return results


@pytest.mark.parametrize(("size", "name"), CASES, ids=[f"{size}: {name}" for size, name in CASES])
def test_losses_equal_those_of_one_process(alone, clusters, size, name):
    reference, scenario = CLUSTERS[size][name]
    expected, got = alone[reference], clusters(size)[name]
    assert len(got["losses"]) == len(expected["losses"])
    assert got["losses"] == pytest.approx(expected["losses"], abs=1e-5)
    assert got["tokens"] == expected["tokens"]
    assert expected["losses"][-1] < expected["losses"][0]
    if scenario.get("evaluate"):
        assert got["evaluation"] == pytest.approx(expected["evaluation"], abs=1e-5, rel=1e-5)


def test_each_process_holds_its_part_alone(alone, clusters):
    """Of a layer's weights half, of the layers half, and the embeddings where they are needed."""
    whole = alone["gpt2"]["parameters"]
    embeddings, positions, norm = 32 * 16, 8 * 16, 2 * 16
    layer = whole - embeddings - positions - norm
    pieces = clusters(2)
    assert pieces["data"]["parameters"] == whole
    assert pieces["pipeline"]["parameters"] == embeddings + positions + layer
    split = 16 * 48 + 48 + 16 * 16 + 16 * 64 + 64 + 64 * 16  # all of a layer but norms and row-parallel biases
    assert pieces["tensor"]["parameters"] == whole - split // 2
    assert pieces["vocabulary"]["parameters"] == whole - split // 2 - embeddings // 2
