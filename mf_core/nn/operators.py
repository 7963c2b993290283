"""Declarations of the axes along which a cell's operators may be split over devices.

MindSpore's parallel compiler needs, for each operator, how its inputs are split. So cells own their operators,
as attributes, and name them in a class attribute: for each input a string with a word for each axis, and an empty
string for a number::

    class Scores(nn.Cell):
        operators: ClassVar[Operators] = {"scale": ("rows heads - -", ""), "product": ("rows heads - -",) * 2}

A cell may also speak for the cells in it: ``"dropout.multiply"``. What it says goes before what they say.
MindSpore's strategies are made of the words by :mod:`mf_core.parallel.strategies`.

===============  =======================================================================================================
word             the axis is
===============  =======================================================================================================
``-``            whole on each device
``rows``         the examples of a batch
``mask``         the same, where each example has its own mask; else one mask for all of them
``positions``    the positions of a text, between the layers whose weights are split
``tokens``       examples and positions in one
``all``          the same, where nothing else is split: over all devices
``summed``       the same, after a sum over the devices that share a layer's weights
``heads``        attention heads
``features``     what lies between a layer whose outputs are split and one whose inputs are
``in``, ``out``  the inputs and outputs of a linear layer
``vocabulary``   the rows of an embedding
===============  =======================================================================================================

An operator whose result comes out split otherwise than its inputs say has one more string, ``"-> summed out"``.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Attribute of the cell -> its inputs' axes.
Operators = Mapping[str, tuple[str, ...]]
