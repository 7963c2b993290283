"""What holds for every model."""

from __future__ import annotations

from .building import BuildingChecks
from .decoding import DecodingChecks
from .gradients import GradientChecks
from .seq2seq import Seq2SeqChecks
from .sharding import ShardingChecks


class ModelContract(ShardingChecks, GradientChecks, Seq2SeqChecks, DecodingChecks, BuildingChecks):
    """A model is what its config says, comes back from a file, and is the same in every way of running it.

    The checks' weights are drawn again, large enough that each part of the model shows in the logits. What they need to
    know of the numbers is the type that the backend computes in.

    Attributes:
        head: Which of the family's models is meant, by a head of its spec; None: the one for ``"causal_lm"``, else the
            first.
        no_gradient: Patterns of parameters that may have a gradient of 0, such as ``"*.experts.*"``.
        held_whole: Patterns of linears in the layers that each device is to have in full, such as ``"*.router"``.
    """
