"""The conformance kit: contracts that a plugin's tests inherit, and fixtures for its authors.

A contract is a class of tests. A plugin's test file subclasses it, says which plugin and what of it is meant, and
pytest does the rest::

    # tests/test_conformance.py
    from mf_core.testing import ModelContract, TokenizerContract

    class TestMambaModel(ModelContract):
        distribution = "mf-mamba"
        model_type = "mamba"
        config = {"hidden_size": 32, "num_layers": 2}

    class TestMambaTokenizer(TokenizerContract):
        distribution = "mf-mamba"
        model_type = "mamba"
        source = "mamba_tiny"
        texts = ("hello", "good day")

``mf plugins check mf-mamba`` runs the same checks with what the plugin's own specs say. The docstring of each check
says why it matters. pytest is needed: ``pip install 'mf-framework[testing]'``.

The fixtures are there for those who ask, by ``pytest_plugins = ["mf_core.testing.fixtures"]`` in a ``conftest.py``;
nothing of this is loaded into other people's tests.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # importing typing would be most of what this module costs
if TYPE_CHECKING:
    from typing import Any

    from .contracts.backend import BackendContract as BackendContract
    from .contracts.config import ConfigContract as ConfigContract
    from .contracts.discovery import contracts_of as contracts_of
    from .contracts.plugin import PluginContract as PluginContract
    from .contracts.processor import ProcessorContract as ProcessorContract
    from .contracts.task import TaskContract as TaskContract
    from .contracts.tokenizer import TokenizerContract as TokenizerContract
    from .environment.plugin_environment import Plugin as Plugin
    from .environment.plugin_environment import PluginEnvironment as PluginEnvironment
    from .environment.plugin_environment import Wheelhouse as Wheelhouse
    from .environment.temporary import temporary_plugin as temporary_plugin
    from .model_checks.cluster import ShardedModelContract as ShardedModelContract
    from .model_checks.model import ModelContract as ModelContract

#: Public name -> the module that defines it.
_MODULES = {
    "BackendContract": "contracts.backend",
    "ConfigContract": "contracts.config",
    "ModelContract": "model_checks.model",
    "Plugin": "environment.plugin_environment",
    "PluginContract": "contracts.plugin",
    "PluginEnvironment": "environment.plugin_environment",
    "ProcessorContract": "contracts.processor",
    "ShardedModelContract": "model_checks.cluster",
    "TaskContract": "contracts.task",
    "TokenizerContract": "contracts.tokenizer",
    "Wheelhouse": "environment.plugin_environment",
    "contracts_of": "contracts.discovery",
    "temporary_plugin": "environment.temporary",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        from ..errors import NotInstalledError

        raise NotInstalledError(
            f"mf_core.testing.{name} needs pytest, which is not installed", value="pytest",
            hint="pip install 'mf-framework[testing]'",
        ) from error  # fmt: skip
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
