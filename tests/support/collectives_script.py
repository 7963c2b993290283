"""What clusters of test_collectives.py run: ``collectives_script.py FOLDER`` checks each operation against numpy.

Each process writes FOLDER/RANK.json: ``failed`` (check -> what was wrong), ``passed`` (names of checks), ``bits`` (what
must be the same in all), ``barrier`` (times around one), ``errors`` (what wrong use was answered with).
"""

import hashlib
import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np

from mf_core import init_context
from mf_core.backends.base import get_backend
from mf_core.errors import MFError

RANK, SIZE = init_context(use_parallel=True)

import mindspore as ms  # noqa: E402  (it is set up now)
from mindspore import Tensor, nn, ops  # noqa: E402

from mf_core.parallel import Layout  # noqa: E402

TYPES = (np.float32, np.float16, np.int32)
SHAPES = ((), (1,), (7,), (3, 5), (2, 3, 4), (0, 3))
AXES = ("data", "tensor", "pipeline", "model", "ends", "expert", "expert_copies", "world")

answer = {"failed": {}, "passed": [], "bits": {}, "errors": {}}


def array(rank, shape, dtype, salt=0):
    """The array of one process: whole numbers, of all sizes, or eighths whose sums are exact in any order."""
    draw = np.random.default_rng([rank, salt, len(shape)])
    if dtype is np.int32:
        return draw.integers(-(2**31), 2**31, shape, dtype=np.int64).astype(np.int32)
    return (draw.integers(-40, 40, shape) / 8).astype(dtype)


def total(arrays):
    kind = np.int64 if arrays[0].dtype == np.int32 else np.float64
    return np.sum([a.astype(kind) for a in arrays], 0).astype(arrays[0].dtype)  # to int32: modulo 2**32


def check(name, found, wanted):
    found = found.asnumpy() if isinstance(found, Tensor) else found
    same = found.dtype == wanted.dtype and found.shape == wanted.shape and np.array_equal(found, wanted)
    if same:
        answer["passed"].append(name)
    else:
        answer["failed"][name] = f"{found.dtype} {found.shape} {found!r}, not {wanted.dtype} {wanted.shape} {wanted!r}"


class Graph(nn.Cell):
    """The operations within a compiled graph."""

    def __init__(self, group):
        super().__init__()
        self.group = group

    @ms.jit
    def reduced(self, x):
        return self.group.all_reduce(x * 2)

    @ms.jit
    def gathered(self, x):
        return self.group.all_gather(x)

    @ms.jit
    def scattered(self, x):
        return self.group.reduce_scatter(x)

    @ms.jit
    def from_root(self, x, root):
        return self.group.broadcast(x, root)

    @ms.jit
    def several(self, x):
        """Operations none of which needs what another gives."""
        group = self.group
        return group.broadcast(x * 3, 0), group.all_reduce(x[:1]), group.broadcast(x[:2], group.size - 1), x + 1


def check_group(label, ranks, shapes=SHAPES, graph_types=TYPES, turns=10):
    """Check the operations of the group ``ranks``, which this process is in."""
    group = get_backend().collectives(ranks, RANK)
    graph = Graph(group)
    size, index = len(ranks), ranks.index(RANK)
    assert (group.size, group.index) == (size, index)
    for dtype, shape in itertools.product(TYPES, shapes):
        all_of = [array(rank, shape, dtype) for rank in ranks]
        own, name = Tensor(all_of[index]), f"{label} {np.dtype(dtype).name} {shape}"
        check(f"{name} all_reduce", group.all_reduce(own), total(all_of))
        for root in range(size):
            check(f"{name} broadcast {root}", group.broadcast(own, root), all_of[root])
        if shape:
            check(f"{name} all_gather", group.all_gather(own), np.concatenate(all_of))
            rows = [np.concatenate([array(rank, shape, dtype, salt) for salt in range(size)]) for rank in ranks]
            part = np.split(total(rows), size)[index]
            check(f"{name} reduce_scatter", group.reduce_scatter(Tensor(rows[index])), part)
        if shape == (3, 5) and size == 2:
            check(f"{name} exchange", group.exchange(own), all_of[1 - index])
        if shape == (3, 5) and dtype in graph_types:
            check(f"{name} all_reduce in a graph", graph.reduced(own), total([a * 2 for a in all_of]))
            check(f"{name} all_gather in a graph", graph.gathered(own), np.concatenate(all_of))
            check(f"{name} reduce_scatter in a graph", graph.scattered(Tensor(rows[index])), part)
            check(f"{name} broadcast in a graph", graph.from_root(own, size - 1), all_of[-1])
    fractions = Tensor(np.random.default_rng(RANK).standard_normal(1001).astype(np.float32))
    summed = group.all_reduce(fractions).asnumpy()
    answer["bits"][f"{label} {ranks}"] = hashlib.sha256(summed.tobytes()).hexdigest()
    all_of = [np.random.default_rng(rank).standard_normal(1001).astype(np.float32) for rank in ranks]
    assert np.allclose(summed, np.sum(all_of, 0, np.float64), atol=1e-5)
    # What the others have is not looked at, not even as a factor of zero.
    mine = np.array([1.0, np.inf, np.nan, -2.0] if index == 0 else [np.nan, 0.0, 1.0, np.inf], np.float32)
    got = group.broadcast(Tensor(mine), 0).asnumpy()
    check(f"{label} broadcast of nan", np.where(np.isnan(got), 7, got), np.array([1, np.inf, 7, -2], np.float32))
    for turn in range(turns):
        all_of = [array(rank, (4,), np.float32, turn) for rank in ranks]
        first, ones, last, own = graph.several(Tensor(all_of[index]))
        found = np.concatenate([part.asnumpy() for part in (first, ones, last, own)])
        wanted = np.concatenate([all_of[0] * 3, total(all_of)[:1], all_of[-1][:2], all_of[index] + 1])
        check(f"{label} several in a graph, turn {turn}", found, wanted)


def check_pairs(ranks, pairs):
    """Send and receive between pairs of ranks of a group, one after the other."""
    group = get_backend().collectives(ranks, RANK)
    for turn, (source, to) in enumerate(pairs):
        for dtype, shape in ((np.float32, (2, 3)), (np.float16, (5,)), (np.int32, ())):
            sent = array(ranks[source], shape, dtype, turn)
            if group.index == source:
                group.send(Tensor(sent), to)
            elif group.index == to:
                like = Tensor(array(RANK, shape, dtype, 99))
                check(f"{ranks} {source} to {to} {np.dtype(dtype).name}", group.recv(like, source), sent)


def check_barrier(group):
    time.sleep(0.3 * RANK)
    before = time.time()
    group.barrier()
    answer["barrier"] = [before, time.time()]


def answer_to(name, call):
    try:
        answer["errors"][name] = f"no error, but {call()}"
    except MFError as error:
        answer["errors"][name] = f"{type(error).__name__} {error}"


def check_wrong_use(group):
    x = ops.ones((3, 2), ms.float32)
    answer_to("root", lambda: group.broadcast(x, 2))
    answer_to("negative root", lambda: group.broadcast(x, -1))
    answer_to("root in a graph", lambda: Graph(group).from_root(x, 2))
    answer_to("rows", lambda: group.reduce_scatter(x))
    answer_to("rows in a graph", lambda: Graph(group).scattered(x))
    answer_to("no axis", lambda: group.all_gather(Tensor(1.0)))
    answer_to("send to itself", lambda: group.send(x, group.index))
    answer_to("recv from a missing index", lambda: group.recv(x, 5))
    answer_to("int64", lambda: group.all_reduce(Tensor(np.arange(3))))


world = tuple(range(SIZE))
if SIZE < 8:
    check_group("world", world)
    check_pairs(world, list(itertools.permutations(range(SIZE), 2)))
    check_barrier(get_backend().collectives(world, RANK))
    if SIZE == 2:
        check_wrong_use(get_backend().collectives(world, RANK))
else:
    layout = Layout(data=2, tensor=2, pipeline=2, expert=2, rank=RANK)
    seen = {}
    for axis in AXES:
        ranks = layout.group(axis)
        seen.setdefault(ranks, []).append(axis)
    for ranks, axes in seen.items():
        check_group(" = ".join(axes), ranks, shapes=((), (3, 5)), graph_types=(np.float32,), turns=3)
    check_pairs(layout.group("pipeline"), [(0, 1), (1, 0)])
    check_pairs(world, [(0, 7), (7, 0), (2, 5), (6, 1), (3, 4)])
    check_barrier(get_backend().collectives(world, RANK))
Path(sys.argv[1], f"{RANK}.json").write_text(json.dumps(answer))
