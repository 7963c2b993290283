"""``mf_core.pipeline`` as a module, for imports as MindFormers has them: ``from mf_core.pipeline import pipeline``.

Importing a submodule binds its name in the package, in place of the function :func:`mf_core.pipeline`. So that
``mf_core.pipeline(…)`` works after either import, the module can be called.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .pipelines import Pipeline, pipeline

__all__ = ["Pipeline", "pipeline"]


class _CallableModule(ModuleType):
    __wrapped__ = staticmethod(pipeline)  # the signature that help() and inspect show

    def __call__(self, *args: Any, **kwargs: Any) -> Pipeline:
        return pipeline(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
