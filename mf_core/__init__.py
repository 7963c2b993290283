"""A toolkit for large models on MindSpore whose model families and hardware backends are plugins.

Public names are imported when first used, so ``import mf_core`` costs next to nothing. A class that an installed plugin
offers is importable from here too: ``from mf_core import GPT2LMHeadModel``.
"""

from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False  # what typing's own is at run time: importing typing would be most of what this module costs
if TYPE_CHECKING:
    from typing import Any

    from .auto import AutoConfig as AutoConfig
    from .auto import AutoImageProcessor as AutoImageProcessor
    from .auto import AutoModel as AutoModel
    from .auto import AutoModelForCausalLM as AutoModelForCausalLM
    from .auto import AutoModelForImageClassification as AutoModelForImageClassification
    from .auto import AutoModelForMaskedLM as AutoModelForMaskedLM
    from .auto import AutoModelForPreTraining as AutoModelForPreTraining
    from .auto import AutoModelForQuestionAnswering as AutoModelForQuestionAnswering
    from .auto import AutoModelForSeq2SeqLM as AutoModelForSeq2SeqLM
    from .auto import AutoModelForSequenceClassification as AutoModelForSequenceClassification
    from .auto import AutoModelForTokenClassification as AutoModelForTokenClassification
    from .auto import AutoProcessor as AutoProcessor
    from .auto import AutoTokenizer as AutoTokenizer
    from .backends import DeviceBackend as DeviceBackend
    from .backends import get_backend as get_backend
    from .config import PretrainedConfig as PretrainedConfig
    from .context import ContextConfig as ContextConfig
    from .context import ParallelContextConfig as ParallelContextConfig
    from .context import init_context as init_context
    from .errors import MFError as MFError
    from .hookspecs import hookimpl as hookimpl
    from .lora import LoraConfig as LoraConfig
    from .lora import add_lora as add_lora
    from .lora import load_adapter as load_adapter
    from .lora import merge_lora as merge_lora
    from .lora import save_adapter as save_adapter
    from .models import PretrainedModel as PretrainedModel
    from .pipelines import Pipeline as Pipeline
    from .pipelines import pipeline as pipeline
    from .processing import PretrainedProcessor as PretrainedProcessor
    from .tokenization import PretrainedTokenizer as PretrainedTokenizer
    from .trainer import Callback as Callback
    from .trainer import EvalPrediction as EvalPrediction
    from .trainer import Trainer as Trainer
    from .trainer import TrainerControl as TrainerControl
    from .trainer import TrainerState as TrainerState
    from .trainer import TrainingArguments as TrainingArguments
    from .trainer import TrainingRecipe as TrainingRecipe
    from .trainer import TrainResult as TrainResult
    from .utils.seed import set_seed as set_seed

#: Public name -> the module that defines it.
_MODULES = {
    "AutoConfig": "auto",
    "AutoImageProcessor": "auto",
    "AutoModel": "auto",
    "AutoModelForCausalLM": "auto",
    "AutoModelForImageClassification": "auto",
    "AutoModelForMaskedLM": "auto",
    "AutoModelForPreTraining": "auto",
    "AutoModelForQuestionAnswering": "auto",
    "AutoModelForSeq2SeqLM": "auto",
    "AutoModelForSequenceClassification": "auto",
    "AutoModelForTokenClassification": "auto",
    "AutoProcessor": "auto",
    "AutoTokenizer": "auto",
    "Callback": "trainer",
    "ContextConfig": "context",
    "DeviceBackend": "backends",
    "EvalPrediction": "trainer",
    "LoraConfig": "lora",
    "MFError": "errors",
    "ParallelContextConfig": "context",
    "Pipeline": "pipelines",
    "PretrainedConfig": "config",
    "PretrainedModel": "models",
    "PretrainedProcessor": "processing",
    "PretrainedTokenizer": "tokenization",
    "TrainResult": "trainer",
    "Trainer": "trainer",
    "TrainerControl": "trainer",
    "TrainerState": "trainer",
    "TrainingArguments": "trainer",
    "TrainingRecipe": "trainer",
    "add_lora": "lora",
    "get_backend": "backends",
    "hookimpl": "hookspecs",
    "init_context": "context",
    "load_adapter": "lora",
    "merge_lora": "lora",
    "pipeline": "pipelines",
    "save_adapter": "lora",
    "set_seed": "utils.seed",
}

__all__ = sorted(_MODULES)


class _PipelineModule(type(sys)):  # type: ignore[misc]
    """Makes ``from mf_core.pipeline import pipeline`` work, which is how MindFormers' scripts import it.

    ``mf_core.pipeline`` itself is the function, as ``mindformers.pipeline`` is; a submodule in a file would replace it.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        module = "mf_core.tasks.text_generation" if name == "TextGenerationPipeline" else "mf_core.pipelines"
        return getattr(importlib.import_module(module), name)


sys.modules[f"{__name__}.pipeline"] = _PipelineModule(f"{__name__}.pipeline", _PipelineModule.__doc__)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
    if name[:1].isupper():  # only class names can be a plugin's: submodules and dunders never start a scan
        return _plugin_class(name)
    if not name.startswith("_"):
        _refer_from_mindformers(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _refer_from_mindformers(name: str) -> None:
    """Raise OtherNameError for a name that MindFormers has."""
    from .mindformers_names import INSTEAD

    if name in INSTEAD:
        from .errors import OtherNameError

        raise OtherNameError(f"{name} is a name of MindFormers, and not one here", value=name, hint=INSTEAD[name])


def _plugin_class(name: str) -> Any:
    from .backends.base import load_class
    from .errors import NotRegisteredError, did_you_mean
    from .plugins.registry import registry

    try:
        entry = registry.find("export", name)
    except NotRegisteredError as error:
        _refer_from_mindformers(name)
        close = did_you_mean(name, [*_MODULES, *registry.names("export")])
        raise AttributeError(f"{error.what}: {error.why or close or 'no such name'}", name=name) from error
    return load_class(entry)


def __dir__() -> list[str]:
    from .plugins.registry import registry

    return sorted({*globals(), *_MODULES, *registry.names("export")})
