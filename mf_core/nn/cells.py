"""Replacing a cell of a model."""

from __future__ import annotations

from mindspore import nn


def replace_cell(model: nn.Cell, name: str, cell: nn.Cell) -> None:
    """Replace the cell ``name`` of ``model`` by ``cell``; parameters keep their names.

    A graph that has been compiled does not see it; ``mindspore.ms_memory_recycle()`` discards all graphs.
    """
    parent_name, _, child = name.rpartition(".")
    parent = dict(model.cells_and_names())[parent_name]
    parent.insert_child_to_cell(child, cell)  # unlike an assignment, this renames no parameter
    if isinstance(parent, nn.SequentialCell):
        parent.cell_list = list(parent.cells())
