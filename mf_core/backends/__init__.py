"""Device backends: the interface that a backend implements, and choosing one."""

from .base import DeviceBackend, Probe, get_backend, import_mindspore, load_backend, load_class, select_backend
from .checks import Check, check_package, first_missing, numbers

__all__ = [
    "Check", "DeviceBackend", "Probe", "check_package", "first_missing", "get_backend", "import_mindspore",
    "load_backend", "load_class", "numbers", "select_backend",
]  # fmt: skip
