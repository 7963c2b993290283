"""Collective operations against numpy, in clusters of real processes; see ``collectives_script.py`` for the checks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mf_core.backends.base import get_backend
from mf_core.errors import ArgumentError

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "support" / "collectives_script.py"
#: What each process of any cluster must have checked, at least.
COMMON = {
    f"{dtype} (3, 5) {operation}{where}"
    for dtype, wheres in (("float32", ("", " in a graph")), ("float16", ("",)), ("int32", ("",)))
    for where in wheres
    for operation in ("all_reduce", "all_gather", "reduce_scatter")
}
GROUPS = {"tensor", "data = expert", "expert_copies", "pipeline = ends", "model", "world"}


@pytest.fixture(scope="module", params=[2, 4, 8])
def cluster(request, tmp_path_factory):
    """Run all checks in a cluster; return what each of its processes told."""
    size, folder = request.param, tmp_path_factory.mktemp("collectives")
    command = [sys.executable, "-c", "import sys; from mf_core.cli import main; sys.exit(main())"]
    done = subprocess.run(
        [*command, "launch", "--workers", str(size), "--log-dir", str(folder / "logs"), str(SCRIPT), str(folder)],
        cwd=folder, env={**os.environ, "MF_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-6000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size)]


def test_every_operation_equals_numpy(cluster):
    for rank, told in enumerate(cluster):
        assert told["failed"] == {}, rank
        labels = {name.partition(" float")[0].partition(" int")[0] for name in told["passed"] if "all_reduce" in name}
        assert labels == ({"world"} if len(cluster) < 8 else GROUPS)
        for label in labels:
            assert {f"{label} {name}" for name in COMMON} <= set(told["passed"])


def test_all_roots_and_pairs_were_tried(cluster):
    size = len(cluster)
    passed = [name for told in cluster for name in told["passed"]]
    for root in range(size):
        assert f"world int32 () broadcast {root}" in passed
    world = tuple(range(size))
    pairs = [(a, b) for a in world for b in world if a != b] if size < 8 else [(0, 7), (7, 0), (2, 5), (6, 1), (3, 4)]
    for source, to in pairs:
        for dtype in ("float32", "float16", "int32"):
            assert f"{world} {source} to {to} {dtype}" in passed
    if size == 8:  # each stage and the one after it, both ways
        for rank in range(4):
            for way in ("0 to 1", "1 to 0"):
                assert f"({rank}, {rank + 4}) {way} float32" in passed


def test_sums_are_bit_identical_in_all_processes_of_a_group(cluster):
    for told in cluster:
        for group, bits in told["bits"].items():
            same = [other["bits"][group] for other in cluster if group in other["bits"]]
            assert len(same) >= 1 + (not group.endswith(",)"))
            assert set(same) == {bits}


def test_no_process_passes_a_barrier_before_all_have_come(cluster):
    assert max(before for before, _ in (told["barrier"] for told in cluster)) <= min(
        after for _, after in (told["barrier"] for told in cluster)
    )


@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_wrong_use_is_an_error_that_says_what_is_wrong(cluster):
    for rank, told in enumerate(cluster):
        errors = told["errors"]
        for name in ("root", "root in a graph"):
            assert errors[name].startswith("ArgumentError [MF202] broadcast from index 2: the group (0, 1) has 2")
        assert "index -1" in errors["negative root"]
        for name in ("rows", "rows in a graph"):
            assert "reduce_scatter: the first axis of (3, 2) cannot be split over 2 processes" in errors[name]
        assert "all_gather of an array without axes" in errors["no axis"]
        assert f"send to index {rank} of the group (0, 1): that is this process itself" in errors["send to itself"]
        assert "receive from index 5: the group (0, 1) has 2" in errors["recv from a missing index"]
        assert errors["int64"].startswith("ArgumentTypeError [MF203] collectives on CPU take no Int64")


def test_a_process_by_itself_keeps_its_arrays_and_has_no_one_to_send_to():
    alone = get_backend().collectives((3,), 3)
    from mindspore import Tensor

    array = np.array([[1.5, -2.0]], np.float32)
    x = Tensor(array)
    for found in (alone.all_reduce(x), alone.all_gather(x), alone.reduce_scatter(x), alone.broadcast(x, 0)):
        assert np.array_equal(found.asnumpy(), array)
    alone.barrier()
    with pytest.raises(ArgumentError, match="this process itself"):
        alone.send(x, 0)
    with pytest.raises(ArgumentError, match=r"receive from index 1: the group \(3,\) has 1"):
        alone.recv(x, 1)
    with pytest.raises(ArgumentError, match=r"exchange is between two processes; the group \(3,\) has 1"):
        alone.exchange(x)
    with pytest.raises(ArgumentError, match="broadcast from index 3"):
        alone.broadcast(x, 3)
