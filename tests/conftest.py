from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .plugin_environment import Plugin, PluginEnvironment, Wheelhouse


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    return Wheelhouse(tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def environment(tmp_path: Path, wheelhouse: Wheelhouse) -> Callable[..., PluginEnvironment]:
    """Return a function that makes an environment with plugins installed."""

    def make(*plugins: Plugin) -> PluginEnvironment:
        made = PluginEnvironment(tmp_path / "environment", wheelhouse)
        made.install(*plugins)
        return made

    return make
