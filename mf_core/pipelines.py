"""``pipeline()``: a task's inference in one object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from .boundary import public
from .errors import ArgumentError, ArgumentTypeError, shown
from .plugins.registry import registry

if TYPE_CHECKING:
    from pathlib import Path

    from .checkpoint.locate import Checkpoint
    from .models.base import PretrainedModel
    from .nn.weight_only import WeightDtype
    from .tokenization.base import PretrainedTokenizer


class Pipeline(ABC):
    """Base of the tasks' pipelines.

    A subclass turns input into output in ``__call__``. Keywords given when it is built are defaults of its calls.

    Class attributes:
        default_model: The preset that serves when no model is named.
        head: The kind of model that a name is resolved to: ``"base"``, ``"causal_lm"``.
        modalities: What the task reads: ``"text"`` needs a tokenizer, ``"image"`` an image processor.
    """

    default_model: ClassVar[str | None] = None
    head: ClassVar[str] = "base"
    modalities: ClassVar[tuple[str, ...]] = ("text",)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in vars(cls):
            cls.__call__ = public(cls.__call__)  # type: ignore[method-assign]

    def __init__(self, model: PretrainedModel, tokenizer: PretrainedTokenizer | None, **options: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.options = options

    def __repr__(self) -> str:
        model = self.model.summary() if hasattr(self.model, "summary") else repr(self.model)
        lines = [f"model={model}", f"tokenizer={self.tokenizer!r}"]
        lines += [f"{name}={value!r}" for name, value in self.options.items()]
        return "\n".join([f"{type(self).__name__}(", *(f"    {line}," for line in lines), ")"])

    @abstractmethod
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Return the task's output for ``inputs``."""


@public
def pipeline(
    task: str | None = None,
    model: str | Path | PretrainedModel | None = None,
    tokenizer: str | Path | PretrainedTokenizer | None = None,
    image_processor: Any = None,
    audio_processor: Any = None,
    backend: str = "ms",
    *,
    device_target: str | None = None,
    revision: str | None = None,
    weight_dtype: WeightDtype | None = None,
    **options: Any,
) -> Pipeline:
    """Return a callable that runs a task.

    Args:
        task: ``"text_generation"``, or another that a plugin brings; None: text generation.
        model: A preset, directory, hub repository, or model object; None: the task's own choice.
        tokenizer: Likewise; None: the model's.
        image_processor: For tasks that take images: a name, or an object; None: the model's.
        audio_processor: For tasks that take sound.
        backend: ``"ms"``, MindSpore: the one there is. (MindFormers' keyword; the device is ``device_target``.)
        device_target: ``"cpu"``, ``"ascend"``, …; None: see :func:`mf_core.get_backend`.
        revision: Branch, tag or commit of a hub repository.
        weight_dtype: Hold the model's weights in fewer bits; see :meth:`mf_core.PretrainedModel.quantize_weights`.
        **options: Defaults of the calls; see the task's pipeline.

    Raises:
        NotRegisteredError: No plugin has the task, or the model.
        ArgumentError: An option is unknown to the task.
    """
    from .backends.base import get_backend, load_class

    name = "text_generation" if task is None else task
    if not isinstance(name, str):
        raise ArgumentTypeError(f"task={shown(name)} is not a string", value=name)
    entry = registry.find("task", name)
    if backend != "ms":
        raise ArgumentError(
            f"backend={backend!r} is not 'ms'", value=backend, why="pipelines run on MindSpore",
            hint="device_target='cpu' chooses a device",
        )
    get_backend(device_target)  # first: loading the task's class imports MindSpore as the backend requires
    cls: type[Pipeline] = load_class(entry)
    given = model if model is not None else cls.default_model
    if given is None:
        raise ArgumentError(f"the task {name!r} has no default model", hint="pass model=…")
    model_object, checkpoint = _model(given, cls.head, revision, weight_dtype)
    reads_text = "text" in cls.modalities or tokenizer is not None
    tokenizer_object = _tokenizer(tokenizer, checkpoint, name, revision) if reads_text else None
    if "image" in cls.modalities:
        from .processing.resolve import image_processor_for

        image_processor = image_processor_for(image_processor, checkpoint, name)
    processors = {"image_processor": image_processor, "audio_processor": audio_processor}
    used = {key: value for key, value in processors.items() if value is not None}
    return cls(model_object, tokenizer_object, **used, **options)


# `import mf_core.pipeline as p` gives the function: `p.pipeline` is what MindFormers' module of that name has.
setattr(pipeline, "pipeline", pipeline)  # noqa: B010


def _model(
    given: str | Path | PretrainedModel, head: str, revision: str | None, weight_dtype: WeightDtype | None
) -> tuple[PretrainedModel, Checkpoint | None]:
    """Return the model and, where it is loaded here, the checkpoint that it comes from."""
    from .auto import model_of
    from .checkpoint.locate import locate
    from .models.base import PretrainedModel

    if isinstance(given, PretrainedModel):
        if weight_dtype is not None:
            raise ArgumentError(
                "weight_dtype is for a model that is loaded here", value=weight_dtype,
                hint=f"model.quantize_weights({weight_dtype!r}) changes one that is there",
            )
        return given, None
    checkpoint = locate(given, revision)
    return model_of(checkpoint, f"model:{head}", weight_dtype=weight_dtype), checkpoint


def _tokenizer(
    given: str | Path | PretrainedTokenizer | None, checkpoint: Checkpoint | None, task: str, revision: str | None
) -> PretrainedTokenizer:
    from .checkpoint.locate import locate
    from .tokenization.base import PretrainedTokenizer
    from .tokenization.resolve import tokenizer_of

    if isinstance(given, PretrainedTokenizer):
        return given
    if given is not None and (checkpoint is None or str(given) != checkpoint.name):
        return tokenizer_of(locate(given, revision))
    if checkpoint is None:
        raise ArgumentError(
            f"a model object does not say which tokenizer it needs for {task!r}",
            hint="pass tokenizer=AutoTokenizer.from_pretrained(…)",
        )
    return tokenizer_of(checkpoint)
