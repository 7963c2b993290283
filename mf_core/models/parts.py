"""Cells whose children have the names of a family's checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mindspore import Parameter, nn

from ..nn import LayerNorm, RMSNorm
from .layer_spec import NAMES, NormSpec


class Group(nn.Cell):
    """Cells with a common beginning of their names; it is never called."""


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
        *path, name = cell.names[self.role].split(".")
        parent: Any = cell
        for step in path:
            parent = parent._cells.get(step)
            if parent is None:
                return None
        found = parent._cells.get(name)
        return parent._params.get(name) if found is None or isinstance(found, Group) else found


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
        names: Role -> name, where they differ from :data:`mf_core.models.layer_spec.NAMES`. A name with dots, such as
            BERT's ``output.dense``, is a path through groups of cells.
    """

    names: Mapping[str, str]

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.names = {**NAMES, **(names or {})}

    def add_part(self, role: str, part: nn.Cell | Parameter) -> None:
        """Add a child under the name that the family has for its role."""
        *path, name = self.names[role].split(".")
        owner: nn.Cell = self
        for step in path:
            if step not in owner._cells:
                _attach(owner, step, Group())
            owner = owner._cells[step]
        before = owner._cells.get(name)
        _attach(owner, name, part)
        if isinstance(before, Group):  # parts with longer names were added first
            _merge(before, part)


def _attach(owner: nn.Cell, name: str, part: nn.Cell | Parameter) -> None:
    # First: MindSpore refuses the name of another attribute, which a role's may be.
    (owner._cells if isinstance(part, nn.Cell) else owner._params)[name] = part
    setattr(owner, name, part)


def _merge(group: nn.Cell, into: nn.Cell) -> None:
    """Move the cells of a group into a cell of the same name."""
    for key, cell in group._cells.items():
        if key in into._cells:
            _merge(cell, into._cells[key])
        else:
            into._cells[key] = cell


def make_norm(spec: NormSpec, size: int, param_dtype: str = "float32") -> nn.Cell:
    """Return the cell of a norm over ``size`` elements."""
    if spec.kind == "layer":
        return LayerNorm(size, epsilon=spec.epsilon, bias=spec.bias, param_dtype=param_dtype, dtype=spec.dtype)
    return RMSNorm(size, epsilon=spec.epsilon, offset=spec.offset, param_dtype=param_dtype, dtype=spec.dtype)
