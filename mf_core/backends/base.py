"""Device backends: choosing one, and importing MindSpore.

Nothing here touches a device until :func:`get_backend` is called. A backend that is asked for by name and not available
is an error that says why; only where none is named is the available backend of the highest priority taken.

Environment variables:
    MF_BACKEND: The backend to use where no call names one.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import logging
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ..boundary import public
from ..errors import ArgumentTypeError, BackendError, NotInstalledError, describe, shown
from ..plugins.registry import RegistryEntry, registry
from ..specs import ModelSpec, TaskSpec
from .checks import Check
from .interrupts import keep_python_handlers
from .runtime import check_not_forked, exclusive, note_start

if TYPE_CHECKING:
    from ..config import PretrainedConfig
    from .collectives import Collectives

logger = logging.getLogger("mf_core")


@dataclass(frozen=True)
class Probe:
    """What was found on the machine, without initialising a device.

    Attributes:
        available: Whether the backend can be used.
        device_count: How many devices it has.
        reason: Why it cannot be used.
        details: Facts for people: versions, processor, threads.
        checks: Each piece that was looked at, in the order in which one installs them; ``mf doctor --backend NAME``
            shows them.
    """

    available: bool
    device_count: int = 0
    reason: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()


class DeviceBackend(ABC):
    """What a hardware backend provides. Subclasses are made without arguments and hold no device.

    Class attributes:
        name: As in the backend's spec.
        default_dtype: What models compute in where the configuration leaves ``compute_dtype`` at its default.
        dtypes: What they can compute in.
        kernels: Names of the kernels that :meth:`capability` may give, on some device at least.
    """

    name: ClassVar[str]
    default_dtype: ClassVar[str] = "float16"
    dtypes: ClassVar[tuple[str, ...]] = ("float32", "float16", "bfloat16")
    kernels: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def probe(self) -> Probe:
        """Return whether the backend can be used here. Must not import mindspore or initialise a device."""

    @abstractmethod
    def setup(self, device_id: int) -> None:
        """Select the device and set threads, memory and paths; mindspore is imported. Called once a process."""

    def import_environment(self) -> Mapping[str, str]:
        """Return environment variables that hold while mindspore is being imported, and are put back afterwards."""
        return {}

    def compute_dtype(self, config: PretrainedConfig) -> str:
        """Return the type that a model computes in.

        Raises:
            BackendError: The configuration asks explicitly for a type that the backend does not support.
        """
        asked = str(getattr(config, "compute_dtype", self.default_dtype))
        if "compute_dtype" not in config.model_fields_set:
            if asked != self.default_dtype:
                _say_once(f"the {self.name} backend computes in {self.default_dtype} ({asked} is the config's default)")
            return self.default_dtype
        if asked not in self.dtypes:
            raise BackendError(
                f"the {self.name} backend cannot compute in {asked}", value=asked,
                hint=f"set compute_dtype to one of: {', '.join(self.dtypes)}",
            )
        return asked

    def activation_dtype(self, dtype: str) -> str:
        """Return the type of activations where a model computes in ``dtype``.

        It is another where the backend has no operators of that type but for its kernels of linear layers: those round
        what they read to bfloat16, and hand on fp32. Without them a model is refused.
        """
        return dtype

    def describe(self) -> str:
        """Return one line for people: device, threads, type."""
        return f"{self.name}, {self.default_dtype}"

    def memory_used(self) -> int:
        """Return the most memory, in bytes, that the process has used on the device; here: resident memory."""
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

    def memory_total(self) -> int | None:
        """Return the device's memory in bytes; None where it is not known."""
        return None

    def memory_left(self) -> int | None:
        """Return how many bytes the process may still take on the device; None where that is not known."""
        return None

    def peak_flops(self, dtype: str) -> float | None:
        """Return the most floating-point operations a second that the device does in ``dtype``; None: not known."""
        return None

    def collectives(self, ranks: Sequence[int], rank: int) -> Collectives:
        """Return the collective operations of a group of processes; here: MindSpore's own operators.

        Args:
            ranks: The group's ranks in the cluster, rising.
            rank: This process's.
        """
        from .collectives import Collectives

        return Collectives(ranks, rank)

    def capability(self, name: str) -> Callable[..., Any] | None:
        """Return the backend's own kernel of that name; None: it has none, and MindSpore's operators serve.

        Args:
            name: One of those that :mod:`mf_core.nn.kernels` lists, with what each takes and returns.
        """
        return None


_state: dict[str, Any] = {"selected": None, "ready": None}
_said: set[str] = set()


def _say_once(message: str) -> None:
    if message not in _said:
        _said.add(message)
        logger.warning(message)


def load_backend(name: str) -> DeviceBackend:
    """Return the backend called ``name``, untouched. Raise what the registry raises for unknown names."""
    backend: DeviceBackend = registry.find("backend", name.lower()).load()()
    return backend


def select_backend(name: str | None = None) -> DeviceBackend:
    """Return the backend that serves ``name``, without setting it up.

    Args:
        name: ``"cpu"``, ``"ascend"``, …; None takes the one in use, ``MF_BACKEND``, or the best available.

    Raises:
        BackendError: It is not available, no backend is, or the process uses another already.
    """
    if name is not None and not isinstance(name, str):
        raise ArgumentTypeError(f"the backend {shown(name, 80)} is not a string", value=name, hint="such as 'cpu'")
    current = _state["ready"] or _state["selected"]
    wanted = name if name is not None else (None if current else os.environ.get("MF_BACKEND")) or None
    if current is not None and (wanted is None or wanted.lower() == current.name):
        return current  # type: ignore[no-any-return]
    if _state["ready"] is not None:
        raise BackendError(
            f"this process uses the backend {current.name!r}; it cannot change to {wanted!r}", value=wanted,
            hint="name the backend before the first model is made, or start another process",
        )
    _state["selected"] = _available(load_backend(wanted)) if wanted else _best()
    return _state["selected"]  # type: ignore[no-any-return]


def _available(backend: DeviceBackend) -> DeviceBackend:
    probe = backend.probe()
    if not probe.available:
        raise BackendError(
            f"the backend {backend.name!r} is not available", value=backend.name, why=probe.reason,
            hint=f"`mf doctor --backend {backend.name}` shows each piece that was looked for",
        )
    return backend


def _best() -> DeviceBackend:
    specs = sorted({e.name: e.spec for e in registry.entries("backend")}.values(), key=lambda s: -s.priority)  # type: ignore[union-attr]
    reasons = []
    for spec in specs:
        name: str = spec.name  # type: ignore[union-attr]
        try:
            backend = load_backend(name)
            probe = backend.probe()
            if probe.available:
                return backend
            reasons.append(f"{name}: {probe.reason}")
        except Exception as error:  # not requested explicitly: the other backends remain usable
            reasons.append(f"{name}: {describe(error)}")
            _say_once(f"the backend {name!r} is passed over: {describe(error)}; see `mf doctor`")
    raise BackendError(
        "no device backend is available", why="; ".join(reasons) or "none is installed",
        hint="pip install mf-cpu-backend",
    )


@public
def get_backend(name: str | None = None, device_id: int | None = None) -> DeviceBackend:
    """Return the backend that serves ``name``, set up and ready: the first call selects the process's device.

    Args:
        name: See :func:`select_backend`.
        device_id: Number of the device; default ``$DEVICE_ID`` or 0. Used by the first call.

    Raises:
        BackendError: As ``select_backend``, where the device does not exist, and in a process that was forked from one
            whose backend was set up.
    """
    check_not_forked()
    backend = select_backend(name)
    if _state["ready"] is None:
        with exclusive():
            if _state["ready"] is None:
                keep_python_handlers(import_mindspore())
                backend.setup(int(os.environ.get("DEVICE_ID", "0")) if device_id is None else device_id)
                note_start()
                _state["ready"] = backend
    return backend


def load_class(entry: RegistryEntry) -> Any:
    """Return the class of a registry entry; import MindSpore first, as the backend requires, where the class needs it.

    Raises:
        TargetError, NotInstalledError: See :meth:`mf_core.plugins.registry.RegistryEntry.load`.
    """
    if isinstance(entry.spec, (ModelSpec, TaskSpec)):
        import_mindspore()
    return entry.load()


def import_mindspore() -> Any:
    """Import mindspore as the selected backend wants it imported, and return the module.

    Raises:
        NotInstalledError: It is not installed.
    """
    if "mindspore" in sys.modules:
        return sys.modules["mindspore"]
    if importlib.util.find_spec("mindspore") is None:
        raise NotInstalledError(
            "MindSpore is not installed", value="mindspore", why="it comes with a device backend",
            hint="pip install mf-cpu-backend",
        )
    with _environment(select_backend().import_environment()), _nothing_collected():
        return importlib.import_module("mindspore")


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Turn off garbage collection in the block, which takes a tenth of an import's time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables that the user has not set, for the time of the block."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
