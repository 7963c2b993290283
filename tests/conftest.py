from __future__ import annotations

from collections.abc import Callable

import pytest

from mf_core.testing.fixtures import plugin_env, temporary_plugin, wheelhouse

from .support.plugin_environment import PluginEnvironment

__all__ = ["environment", "plugin_env", "temporary_plugin", "wheelhouse"]


@pytest.fixture
def environment(plugin_env: Callable[..., PluginEnvironment]) -> Callable[..., PluginEnvironment]:
    """Return a function that makes an environment with plugins installed."""
    return plugin_env
