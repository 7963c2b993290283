"""The settings of the last call to :func:`init_context`."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import ConfigDict

from .config import ParallelContextConfig


class ParallelSettings(ParallelContextConfig):
    """A :class:`ParallelContextConfig` that cannot be changed."""

    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True)
class Context:
    """This process's rank, and the cluster that it is in.

    Attributes:
        rank_id: Its number among the processes, from 0.
        device_num: How many processes there are.
        use_parallel: Whether they are one cluster, in which collectives work.
        parallel: What the user asked for, with ``device_num`` and ``global_rank`` as they are. Its ``parallel_mode`` is
            the one asked for, also where MindSpore itself stays in another.
    """

    rank_id: int = 0
    device_num: int = 1
    use_parallel: bool = False
    parallel: ParallelSettings = field(default_factory=lambda: ParallelSettings(device_num=1))


_state: dict[str, Context] = {}


def current() -> Context:
    """Return the settings of :func:`init_context`; before its first call, those of a single process."""
    return _state.get("context") or Context()


def record(context: Context) -> None:
    """Make ``context`` the current one."""
    _state["context"] = context
