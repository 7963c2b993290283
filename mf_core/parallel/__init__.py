"""How a model is spread over devices, and which activations it computes anew."""

from .config import ParallelConfig, RecomputeConfig
from .device_mesh import Layout
from .plan import ParallelPlan, Place, Split, places, plan_from_roles

__all__ = ["Layout", "ParallelConfig", "ParallelPlan", "Place", "RecomputeConfig", "Split", "places", "plan_from_roles"]
