"""``mf env``: versions, folders and settings, for reports of faults."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from typing import Any

from ..plugins.registry import registry
from .table import print_json

#: Variables that change what the library does, and what each is for.
VARIABLES = {
    "MF_ASCEND_TRUST": "pieces that the ascend backend may miss",
    "MF_BACKEND": "backend to use where no call names one",
    "MF_CACHE": "folder for downloaded files",
    "MF_CPU_LEVEL": "which of the cpu backend's kernels to use, such as x86-64-v3",
    "MF_DETERMINISTIC": "1: the same bits from the same input, on Ascend; slower",
    "MF_KERNELS": "0: no fused kernels of the backend's",
    "MF_MODELS": "folders with checkpoints as <name>/config.json, looked at before the network",
    "MF_NUM_THREADS": "threads of the cpu backend",
    "MF_PLUGINS": "allow-list of plugins",
    "MF_PLUGINS_BLOCK": "plugins never to load",
    "MF_PLUGINS_STRICT": "1: a plugin's fault is an error",
    "MF_PLUGINS_TIMEOUT": "seconds that a plugin may take to load; 0: as long as it likes",
    "MF_PREFER": "distributions that win where names clash",
    "HF_ENDPOINT": "mirror of the hub",
    "HF_HOME": "folder of the hub's cache",
    "HF_HUB_OFFLINE": "1: never ask the hub",
}

_PACKAGES = ("mindspore", "numpy", "tokenizers", "safetensors", "pydantic", "pluggy", "huggingface_hub", "pooch")


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("env", help="print versions, folders and settings")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def version_of(package: str) -> str | None:
    """Return an installed package's version, or None."""
    import importlib_metadata

    try:
        return importlib_metadata.version(package)
    except importlib_metadata.PackageNotFoundError:
        return None


def run(options: argparse.Namespace) -> int:
    """Print the environment."""
    from ..hub import cache_dir

    data = {
        "mf-framework": version_of("mf-framework"),
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "packages": {name: version_of(name) for name in _PACKAGES},
        "plugins": {f"{r.distribution}:{r.name}": f"{r.version} ({r.state})" for r in registry.records},
        "cache": str(cache_dir()),
        "variables": {name: os.environ.get(name) for name in VARIABLES},
    }
    if options.json:
        print_json(data)
        return 0
    for key, value in data.items():
        if not isinstance(value, dict):
            print(f"{key}: {value}")
            continue
        print(f"{key}:")
        for name, item in value.items():
            shown = "not set" if key == "variables" and item is None else item or "not installed"
            print(f"  {name}: {shown}" + (f"  ({VARIABLES[name]})" if key == "variables" else ""))
    return 0
