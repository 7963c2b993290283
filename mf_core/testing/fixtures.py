"""Fixtures for the tests of plugins, for those who ask: ``pytest_plugins = ["mf_core.testing.fixtures"]``.

That line goes into the ``conftest.py`` at the top of your tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ..plugins.manager import PluginRecord
from .environment.plugin_environment import Plugin, PluginEnvironment, Wheelhouse
from .environment.temporary import temporary_plugin as _temporary_plugin


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Wheelhouse:
    """Wheels that are built in this session, each once."""
    return Wheelhouse(tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def plugin_env(tmp_path: Path, wheelhouse: Wheelhouse) -> Callable[..., PluginEnvironment]:
    """A function that makes a virtual environment with the core and plugins in it.

    It takes :class:`Plugin` objects and folders of projects, which are installed from wheels that are built of them,
    and returns a :class:`PluginEnvironment`: ``run(code)``, ``mf("models")``, ``borrow("mindspore")``::

        def test_listed(plugin_env):
            made = plugin_env(Path(__file__).parents[1])
            assert "mamba_tiny" in made.mf("models").stdout
    """
    count = 0

    def make(*plugins: Plugin | Path) -> PluginEnvironment:
        nonlocal count
        count += 1
        made = PluginEnvironment(tmp_path / ("environment" if count == 1 else f"environment-{count}"), wheelhouse)
        made.install(*plugins)
        return made

    return make


@pytest.fixture
def temporary_plugin() -> Iterator[Callable[..., PluginRecord]]:
    """A function that adds a plugin to this process until the test ends.

    It takes what :func:`mf_core.testing.temporary_plugin` takes and returns the plugin's record::

        def test_conflict(temporary_plugin):
            temporary_plugin(ConfigSpec(model_type="mamba", target="mf_mamba.config:MambaConfig"), distribution="rival")
            with pytest.raises(ConflictError):
                AutoConfig.from_pretrained("mamba_tiny")
    """
    with ExitStack() as stack:

        def add(*offers: Any, **settings: Any) -> PluginRecord:
            return stack.enter_context(_temporary_plugin(*offers, **settings))

        yield add
