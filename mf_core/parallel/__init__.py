"""How a model is sharded over devices, and which activations are recomputed."""

from .config import ParallelConfig, RecomputeConfig
from .device_mesh import Layout
from .plan import ParallelPlan, ShardSpec, Split, plan_from_roles, shard_specs

__all__ = [
    "Layout", "ParallelConfig", "ParallelPlan", "RecomputeConfig", "ShardSpec", "Split", "plan_from_roles",
    "shard_specs",
]  # fmt: skip
