"""The processes that train together: starting with them, deciding together, and sums over all of them."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from mindspore import Tensor

from .. import context
from ..data import is_dataset
from ..errors import ArgumentError, UnsupportedError
from ..models.base import PretrainedModel
from ..optim.table import optimizer_spec
from ..parallel import ParallelConfig, RecomputeConfig
from ..parallel.shard_model import ShardedState, shard_model
from .arguments import TrainingArguments
from .recipe import TrainingRecipe


class Session:
    """One process's view of the processes that train together.

    Args:
        sharding: How the model is sharded over them.

    Attributes:
        layout: The grid of processes, with this process's coordinates.
        is_first: Whether this process writes and reports.
        token: A number that all of them share, and that differs between runs.
    """

    def __init__(self, sharding: ShardedState) -> None:
        self.sharding, self.layout = sharding, sharding.layout
        self._world = sharding.group("world")
        self.is_first = self.layout.rank == 0
        self.token = int(self._world.broadcast(Tensor(np.array([secrets.randbits(31)], np.int32)), 0).asnumpy()[0])

    def agree(self, flags: Sequence[bool]) -> list[bool]:
        """Return which of the flags is set in any process."""
        votes = self._world.all_reduce(Tensor(np.array(flags, np.float32))).asnumpy()
        return [bool(vote > 0) for vote in votes]

    def barrier(self) -> None:
        """Return when every process has called this."""
        self._world.barrier()

    def total(self, values: Sequence[float]) -> list[float]:
        """Return the sums over the copies of the model of numbers that each last stage has."""
        counts = self.layout.is_last and self.layout.tensor_rank == 0
        doubles = np.array(values, np.float64) * float(counts)
        high = doubles.astype(np.float32)
        parts = np.stack((high, (doubles - high).astype(np.float32)))  # two fp32 numbers keep what one would round
        every = self._world.all_gather(Tensor(parts[None])).asnumpy().astype(np.float64)
        return [float(total) for total in every.sum((0, 1))]

    def gather_rows(self, array: np.ndarray) -> np.ndarray:
        """Return the copies' arrays, ``(copies, …)``; whole numbers of 32 bits, or fp32."""
        gathered: np.ndarray = self.sharding.group("data").all_gather(Tensor(array[None])).asnumpy()
        return gathered

    @contextmanager
    def first_prepares(self) -> Iterator[None]:
        """Run the block in the first process before the others, which then find cached data ready."""
        if not self.is_first:
            self.barrier()
        yield
        if self.is_first:
            self.barrier()


def start_session(
    model: PretrainedModel,
    recipe: TrainingRecipe,
    args: TrainingArguments,
    config: ParallelConfig | None,
    recompute: RecomputeConfig,
    **users: Any,
) -> Session | None:
    """Shard the model over the processes of the context; return their session, or None where there is one process.

    Args:
        model: The model; it is changed.
        recipe: The task's.
        args: Settings.
        config: Degrees of parallelism; None: each process has a copy of the model.
        recompute: What is recomputed.
        **users: What must suit the parallelism: ``wrapper``, ``optimizer``, ``train_dataset``, ``adapters``.

    Raises:
        ArgumentError: The configuration does not fit the model or the number of processes.
        UnsupportedError: Something that was given cannot be used with this parallelism.
    """
    here = context.current()
    if here.device_num == 1:
        return None
    if config is None:
        config = ParallelConfig(
            data_parallel=here.device_num, optimizer_shard=bool(here.parallel.enable_parallel_optimizer)
        )
    config.check(model, here.device_num)
    _check_parallel(config, recipe, args, recompute, **users)
    if context.leave_compiler():
        warnings.warn(
            f"the Trainer shards the model by its plan; MindSpore's {here.parallel.parallel_mode} compiler is not "
            "used from now on", stacklevel=5,
        )  # fmt: skip
    return Session(model.sharding or shard_model(model, config, here.rank_id))


def _check_parallel(
    config: ParallelConfig,
    recipe: TrainingRecipe,
    args: TrainingArguments,
    recompute: RecomputeConfig,
    *,
    wrapper: Any,
    optimizer: Any,
    train_dataset: Any,
    adapters: bool,
) -> None:
    """Raise UnsupportedError for what does not go together with the parallelism that is asked for."""
    splits = config.model_parallel > 1 or config.pipeline_stage > 1 or config.expert_parallel > 1
    shards = splits or config.optimizer_shard
    whole_only = optimizer is None and not optimizer_spec(args.optim).shardable
    for given, fault, remedy in (
        (wrapper is not None, "a wrapper takes its steps in one process", "leave wrapper out"),
        (optimizer is not None and shards, "a user's optimizer works with data_parallel alone", "use args.optim"),
        (whole_only and shards, f"{args.optim} needs whole weights in each process",
         "use optim='adamw', or data_parallel alone"),
        (adapters and shards, "LoRA adapters are trained with data_parallel alone",
         "leave the other settings at their defaults"),
    ):  # fmt: skip
        if given:
            raise UnsupportedError(fault, value=config.to_dict(), hint=remedy)
    for name, is_set, reason in (
        ("micro_batch_interleave_num", config.micro_batch_interleave_num > 1, "communication is not overlapped"),
        ("mp_comm_recompute", not recompute.mp_comm_recompute, "recomputation repeats communication too"),
        ("recompute_slice_activation", recompute.recompute_slice_activation, "use_seq_parallel splits activations"),
        ("parallel_optimizer_comm_recompute", recompute.parallel_optimizer_comm_recompute, "weights are not sharded"),
    ):
        if is_set:
            warnings.warn(f"{name} has no effect: {reason}", stacklevel=6)
    if config.pipeline_stage > 1:
        recipe.stage()
    rows = args.per_device_train_batch_size
    if rows % config.micro_batch_num and not is_dataset(train_dataset):
        raise ArgumentError(
            f"per_device_train_batch_size={rows} cannot be split into micro_batch_num={config.micro_batch_num} parts",
            value=rows, hint=f"set it to a multiple of {config.micro_batch_num}",
        )  # fmt: skip
