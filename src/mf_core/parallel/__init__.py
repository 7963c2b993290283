"""How a model is spread over devices, and which activations it computes anew."""

from .config import ParallelConfig, RecomputeConfig

__all__ = ["ParallelConfig", "RecomputeConfig"]
