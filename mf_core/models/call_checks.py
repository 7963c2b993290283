"""The arguments of a model that is called, and failures of the backend's kernels in the call: named for people."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mindspore import Tensor, nn

from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError

if TYPE_CHECKING:
    from .base import PretrainedModel

#: How MindSpore reports that a kernel returned 1: operands whose types or shapes it does not compute.
_REFUSED = "Return value from CPU AOT kernel"


def check_call(model: PretrainedModel, args: Sequence[Any]) -> None:
    """Raise ArgumentError where the first argument of a model is not what ``construct`` takes.

    Args:
        model: The model.
        args: The positional arguments of the call.
    """
    if not args or args[0] is None:
        return
    first, names = args[0], list(inspect.signature(type(model).construct).parameters)[1:]
    name = names[0] if names else ""
    hint = "tokenizer(text, return_tensors='ms')['input_ids'], or mindspore.Tensor(rows, mindspore.int32)"
    if not isinstance(first, Tensor):
        raise ArgumentTypeError(
            f"{type(model).__name__} is called with tensors, and {name} is of the type {type(first).__name__}",
            value=type(first).__name__, hint=hint if name == "input_ids" else "mindspore.Tensor(array) makes one",
        )  # fmt: skip
    if name == "input_ids" and "Int" not in str(first.dtype):
        raise ArgumentTypeError(f"input_ids are integers, not {first.dtype}", value=str(first.dtype), hint=hint)
    if name == "input_ids" and first.ndim < 2:
        raise ArgumentError(
            f"input_ids have the shape (batch, tokens), not {tuple(first.shape)}", value=tuple(first.shape),
            hint="input_ids.reshape((1, -1)) makes a batch of one row",
        )  # fmt: skip
    expected = getattr(model, "pixel_shape", None)
    if name == "pixel_values" and expected is not None and tuple(first.shape[1:]) != tuple(expected):
        raise ArgumentError(
            f"pixel_values have the shape {tuple(first.shape)}, and the model takes (images, "
            f"{', '.join(map(str, expected))})", value=tuple(first.shape),
            hint="AutoImageProcessor.from_pretrained(name_or_path)(picture) makes them",
        )  # fmt: skip


def explained(model: nn.Cell, error: BaseException) -> UnsupportedError | None:
    """Return the error that explains why a kernel failed; None: it is not known to be one of a kernel.

    Args:
        model: The model that was run.
        error: What MindSpore raised.
    """
    if _REFUSED not in str(error):
        return None
    found: dict[str, str] = {}
    for name, parameter in model.parameters_and_names():
        found.setdefault(str(parameter.dtype).lower(), name)
    types = ", ".join(f"{dtype} ({name})" for dtype, name in sorted(found.items()))
    return UnsupportedError(
        "a kernel of the backend does not compute with operands of these types together", value=sorted(found),
        why=f"the weights are {types}, and the model computes in {getattr(model, 'compute_dtype', 'another type')}",
        hint="give all weights one type (param_init_type=… when the model is loaded), and choose the type of the "
        "products by model.set_compute_dtype(…)",
    )  # fmt: skip
