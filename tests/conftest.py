from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mf_core.testing.fixtures import plugin_env, temporary_plugin, wheelhouse

from .support.plugin_environment import PluginEnvironment

__all__ = ["environment", "plugin_env", "temporary_plugin", "wheelhouse"]


@pytest.fixture
def environment(plugin_env: Callable[..., PluginEnvironment]) -> Callable[..., PluginEnvironment]:
    """Return a function that makes an environment with plugins installed."""
    return plugin_env


@pytest.fixture(scope="session")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the mypy of all processes of this test run has its cache."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "mypy-cache"
