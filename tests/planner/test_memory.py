"""The memory that ``mf plan`` computes beside what training separate processes take."""

import importlib.util
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "memory.py"
spec = importlib.util.spec_from_file_location("memory_benchmark", BENCHMARK)
memory = importlib.util.module_from_spec(spec)
spec.loader.exec_module(memory)

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads resident memory by Linux's means")

#: Each takes some 0.7 to 1 GB, most of it by what the case is about.
CASES = {
    "activations and logits": {"width": 384, "heads": 6, "layers": 2, "rows": 8, "vocab": 8192},
    "weights": {"width": 1024, "layers": 2, "length": 64, "rows": 2, "vocab": 1024},
    "recomputation": {"recompute": {"recompute": True}, "layers": 3, "rows": 8, "vocab": 2048},
    "dropout": {"dropout": 0.1, "width": 256, "layers": 2, "rows": 8},
}
CLUSTERS = {
    "copies": {"parallel": {"data_parallel": 2}},
    "stages": {"parallel": {"pipeline_stage": 2, "micro_batch_num": 4}, "rows": 8},
}


def assert_close(case):
    result = memory.run(case)
    assert result["measured"] > 300e6
    assert result["estimated"]["total"] == pytest.approx(result["measured"], rel=0.1)


@pytest.mark.parametrize("name", CASES)
def test_the_estimate_is_within_a_tenth_of_what_is_measured(name):
    assert_close(CASES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", CLUSTERS)
def test_so_it_is_in_a_cluster(name):
    assert_close(CLUSTERS[name])
