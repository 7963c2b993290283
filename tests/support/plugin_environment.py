"""Plugins that many tests install. The environments that they go into are :mod:`mf_core.testing`'s own."""

from __future__ import annotations

from collections.abc import Iterable

from mf_core.testing.environment.plugin_environment import MF, PROLOGUE, Plugin, PluginEnvironment, Result, Wheelhouse

__all__ = ["HEALTHY", "MF", "PROLOGUE", "Plugin", "PluginEnvironment", "Result", "Wheelhouse", "family_plugin"]


def family_plugin(name: str, family: str, presets: Iterable[str], *, version: str = "1.0") -> Plugin:
    """Return a plugin that offers a family: a config with presets, whose size is 1, and a model."""
    package, title = name.replace("-", "_"), family.title()
    body = f"""
        @hookimpl
        def mf_configs():
            presets = tuple(Preset(name=name, config={{"size": 1}}, description="small") for name in {list(presets)!r})
            return [ConfigSpec(model_type="{family}", target="{package}.config:{title}Config", presets=presets)]

        @hookimpl
        def mf_models():
            return [ModelSpec(model_type="{family}", target="{package}.modeling:{title}Model")]
    """
    config = f"""
        from typing import ClassVar
        from mf_core import PretrainedConfig

        class {title}Config(PretrainedConfig):
            model_type: ClassVar[str] = "{family}"
            size: int = 0
    """
    return Plugin(name, body, version, modules={"config": config})


#: The plugin that keeps working in every case.
HEALTHY = family_plugin("mf-healthy", "healthy", ["healthy_tiny"], version="2.3.4")
