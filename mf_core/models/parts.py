"""Cells whose children go by the names that a family's checkpoints have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mindspore import Parameter, nn

from ..nn import LayerNorm, RMSNorm
from .layer_spec import NAMES, NormSpec


class Part:
    """A child cell or parameter, found under the name that the cell's table has for the attribute.

    ``attention = Part()`` in a class lets ``self.attention`` be the child that is called ``attn`` in GPT-2 and
    ``self_attn`` in Llama; None where the cell has no such child.
    """

    def __set_name__(self, owner: type, role: str) -> None:
        self.role = role

    def __get__(self, cell: NamedParts | None, owner: type | None = None) -> Any:
        if cell is None:
            return self
        name = cell.names[self.role]
        found = cell._cells.get(name)
        return cell._params.get(name) if found is None else found


class python_property:
    """A property that graphs evaluate in Python, as they do attributes.

    MindSpore's compiler would parse the function of a ``property`` that a cell's own class defines.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function, self.__doc__ = function, function.__doc__

    def __get__(self, cell: nn.Cell | None, owner: type | None = None) -> Any:
        return self if cell is None else self.function(cell)


class NamedParts(nn.Cell):
    """Base of cells with :class:`Part` attributes.

    Args:
        names: Role -> name, where they differ from :data:`mf_core.models.layer_spec.NAMES`.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.names = {**NAMES, **(names or {})}

    def add_part(self, role: str, part: nn.Cell | Parameter) -> None:
        """Add a child under the name that the family has for its role."""
        name = self.names[role]
        # First: MindSpore refuses the name of another attribute, which a role's may be.
        (self._cells if isinstance(part, nn.Cell) else self._params)[name] = part
        setattr(self, name, part)


def make_norm(spec: NormSpec, size: int, param_dtype: str = "float32") -> nn.Cell:
    """Return the cell of a norm over ``size`` elements."""
    if spec.kind == "layer":
        return LayerNorm(size, epsilon=spec.epsilon, bias=spec.bias, param_dtype=param_dtype, dtype=spec.dtype)
    return RMSNorm(size, epsilon=spec.epsilon, offset=spec.offset, param_dtype=param_dtype, dtype=spec.dtype)
