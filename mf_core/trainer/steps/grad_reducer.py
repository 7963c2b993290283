"""Collective operations of a step: reducing gradients, sharding the update, gathering weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, ops

from ...errors import ArgumentError
from ...optim.optimizers import PART
from ...parallel.shard_model import ShardedState


class GradReducer:
    """Sums gradients over the processes that share them, and splits the optimizer's work among copies.

    Operators run one by one, outside graphs: compiling them would take longer than the communication.

    With ``optimizer_shard`` (Rajbhandari et al., 2020, "ZeRO", stage 1), each of the n copies of the model updates a
    flat n-th of each weight and keeps the optimizer's states of that part alone; then the parts are gathered. A
    mixture's experts that are themselves sharded over the copies are left out of it.

    Args:
        sharding: How the model is sharded.
        weights: The parameters, of those that this process has, that are trained: name -> parameter.

    Attributes:
        trained: What the optimizer updates instead of ``weights``: the parts, or the weights themselves.
        decays: Whether each of them decays.
        shares: One by the number of processes that hold each gradient, of those that :meth:`reduce` gives.
        micro_batches: Parts that a batch is taken in.
    """

    def __init__(self, sharding: ShardedState, weights: dict[str, Parameter]) -> None:
        self.layout, config = sharding.layout, sharding.config
        self.micro_batches = config.micro_batch_num
        self.weights = ParameterTuple(weights.values())
        self.count = len(self.weights)
        self.world = sharding.group("world")
        specs = [sharding.specs[name] for name in weights]
        experts = [spec.expert is not None for spec in specs]
        self.is_split = tuple(config.optimizer_shard and self.layout.data > 1 and not expert for expert in experts)
        data = self.layout.data
        self.copies = sharding.group("data")
        self.expert_copies = sharding.group("expert_copies") if any(experts) else self.copies
        everywhere = [i for i, expert in enumerate(experts) if not expert]
        self.split_buckets = self._buckets([i for i in everywhere if self.is_split[i]], config)
        self.whole_buckets = self._buckets([i for i in everywhere if not self.is_split[i]], config)
        self.expert_buckets = self._buckets([i for i, expert in enumerate(experts) if expert], config)
        self.partial = self._buckets([i for i, name in enumerate(weights) if name in sharding.partial], config)
        self.tensor, self.splits_positions = sharding.group("tensor"), config.use_seq_parallel
        tied = [i for i, spec in enumerate(specs) if len(spec.stages) > 1]
        self.tied = self._buckets(tied, config)
        self.ends = sharding.group("ends") if tied else self.world
        self.shares = tuple(
            1.0 / (sharding.copies(name) / (data if split else 1))
            for name, split in zip(weights, self.is_split, strict=True)
        )
        self.decays = tuple(len(w.shape) > 1 for w in self.weights)
        self.sizes = tuple(math.prod(w.shape) for w in self.weights)
        self.each = tuple(-(-size // data) for size in self.sizes)
        self.trained = ParameterTuple([
            self._part(w, i) if self.is_split[i] else w for i, w in enumerate(self.weights)
        ])  # fmt: skip
        last = self.layout.is_last and self.layout.tensor_rank == 0
        #: Whose loss and targets count: one process's of each copy. Stages before add their auxiliary losses.
        self.loss_share, self.target_share = float(self.layout.tensor_rank == 0), float(last)

    @staticmethod
    def _buckets(indices: Sequence[int], config: object) -> tuple[tuple[int, ...], ...]:
        """Return the weights' numbers in as many groups as ``gradient_aggregation_group`` says."""
        count = min(int(getattr(config, "gradient_aggregation_group", 1)), len(indices))
        return tuple(tuple(int(n) for n in part) for part in np.array_split(indices, count)) if count else ()

    def _part(self, weight: Parameter, i: int) -> Parameter:
        flat = np.zeros(self.each[i] * self.copies.size, np.float32)
        flat[: self.sizes[i]] = weight.asnumpy().reshape(-1)
        own = flat.reshape(self.copies.size, -1)[self.copies.index]
        return Parameter(Tensor(own.copy()), name=PART + weight.name)

    def refresh(self) -> None:
        """Adopt the weights after they have been loaded."""
        for i in range(self.count):
            if self.is_split[i]:
                ops.assign(self.trained[i], Tensor(self._part(self.weights[i], i).asnumpy()))

    def part_size(self, batch: Sequence[np.ndarray]) -> int:
        """Return the rows of a micro-batch.

        Raises:
            ArgumentError: The rows, or the positions, cannot be split evenly.
        """
        rows, positions = len(batch[0]), batch[1].shape[-1]
        if rows % self.micro_batches:
            raise ArgumentError(
                f"a batch of {rows} rows cannot be split into micro_batch_num={self.micro_batches} parts", value=rows,
                hint=f"set per_device_train_batch_size to a multiple of {self.micro_batches}",
            )  # fmt: skip
        if self.splits_positions and positions % self.tensor.size:
            raise ArgumentError(
                f"rows of {positions} positions cannot be split by model_parallel={self.tensor.size}", value=positions,
                why="use_seq_parallel=True gives each process an equal part of them",
                hint=f"set max_seq_length to a multiple of {self.tensor.size}",
            )  # fmt: skip
        return rows // self.micro_batches

    def totals(self, loss: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of losses and of targets over all copies."""
        sums = self.world.all_reduce(ops.stack((loss * self.loss_share, targets * self.target_share)))
        return sums[0], sums[1]

    def reduce(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return the sums of the gradients over the processes that share them; of split ones, this process's part."""
        result = list(gradients)
        for group, buckets in (
            (self.tensor, self.partial),
            (self.ends, self.tied),
            (self.copies, self.whole_buckets),
            (self.expert_copies, self.expert_buckets),
        ):
            for bucket in buckets if group.size > 1 else ():
                whole = group.all_reduce(ops.concat([result[i].reshape((-1,)) for i in bucket]))
                for i, part in zip(bucket, _cut(whole, [self.sizes[i] for i in bucket]), strict=True):
                    result[i] = part.reshape(self.weights[i].shape)
        for bucket in self.split_buckets:
            rows = ops.concat([self._as_rows(result[i], i) for i in bucket], 1)
            own = self.copies.reduce_scatter(rows)[0]
            for i, part in zip(bucket, _cut(own, [self.each[i] for i in bucket]), strict=True):
                result[i] = part
        return result

    def broadcast_weights(self) -> None:
        """Put each weight together from the parts that the copies have updated."""
        for bucket in self.split_buckets:
            rows = self.copies.all_gather(ops.concat([self.trained[i].value() for i in bucket]).reshape((1, -1)))
            start = 0
            for i in bucket:
                flat = rows[:, start : start + self.each[i]].reshape((-1,))
                ops.assign(self.weights[i], flat[: self.sizes[i]].reshape(self.weights[i].shape))
                start += self.each[i]

    def _as_rows(self, gradient: Tensor, i: int) -> Tensor:
        """``(copies, each)``, filled up with zeros."""
        flat, missing = gradient.reshape((-1,)), self.each[i] * self.copies.size - self.sizes[i]
        if missing:
            flat = ops.concat((flat, ops.zeros((missing,), ms.float32)))
        return flat.reshape((self.copies.size, -1))


def _cut(flat: Tensor, sizes: Sequence[int]) -> Iterator[Tensor]:
    """Yield the parts of a vector that have these sizes."""
    start = 0
    for size in sizes:
        yield flat[start : start + size]
        start += size
