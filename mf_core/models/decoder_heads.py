"""Heads over a decoder, beside the language model's.

Shapes: B batch, S tokens, E hidden size, L labels.
"""

from __future__ import annotations

from typing import Any, ClassVar

from mindspore import Tensor, ops
from mindspore import dtype as mstype

from ..nn import CausalBias, Linear
from .decoder import DecoderForCausalLM, DecoderHead, token_positions
from .layer_spec import NAMES


class DecoderForSequenceClassification(DecoderHead):
    """A decoder that classifies texts, by their last token that is no padding.

    A family names its language model, whose body this is::

        class LlamaForSequenceClassification(DecoderForSequenceClassification):
            causal_lm = LlamaForCausalLM

    Class attributes:
        causal_lm: The family's language model.
    """

    causal_lm: ClassVar[type[DecoderForCausalLM]]
    new_cells: ClassVar[tuple[str, ...]] = ("score",)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        family = cls.causal_lm
        cls.config_class, cls.checkpoint_prefix = family.config_class, family.checkpoint_prefix
        head = {**NAMES, **family.names}["lm_head"]
        cls.ignored_keys = (*family.ignored_keys, rf"^{head}\.")
        cls.renamed_keys = family.renamed_keys

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        family = type(self).causal_lm
        spec = family.spec(config)
        self.role_names = {**NAMES, **family.names}
        setattr(self, self.role_names["decoder"], family.decoder_class(spec, self.role_names, self.compute_dtype))
        self.score = Linear(
            spec.width, config.num_labels, std=spec.std, bias=False, param_dtype=spec.param_dtype,
            dtype=self.compute_dtype, outputs_first=True,
        )  # fmt: skip
        self.causal_bias = CausalBias()
        self.pad_id = getattr(config, "pad_token_id", None)
        self.post_init()

    def construct(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None
    ) -> Tensor:
        """Return logits ``(B, L)`` fp32.

        Args:
            input_ids: ``(B, S)`` int32.
            attention_mask: ``(B, S)``, 1 for tokens and 0 for padding; None: the last token is the last that is not the
                configuration's ``pad_token_id``.
            position_ids: ``(B or 1, S)`` int32; None: counted from 0, without padding.
        """
        ids = token_positions(input_ids, attention_mask, position_ids)
        hidden = self.decoder(input_ids, ids, self.causal_bias(attention_mask, input_ids.shape[1]))
        return ops.cast(self.score(last_tokens(hidden, self.counted(input_ids, attention_mask))), mstype.float32)

    def counted(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Return ``(B, S)`` int32: 1 for what may be the last token."""
        if attention_mask is not None:
            return ops.cast(attention_mask != 0, mstype.int32)
        if self.pad_id is None:
            return ops.ones_like(input_ids)
        return ops.cast(input_ids != self.pad_id, mstype.int32)


def last_tokens(hidden: Tensor, counted: Tensor) -> Tensor:
    """Return the hidden states ``(B, E)`` of the last tokens that count, the first where none does.

    Args:
        hidden: ``(B, S, E)``.
        counted: ``(B, S)`` int32: 1 for tokens that count.
    """
    rows, length, width = hidden.shape
    numbers = ops.broadcast_to(ops.cast(ops.arange(length), mstype.int32).reshape((1, -1)), (rows, length))
    last = ops.cast((numbers * counted).max(axis=1), mstype.int32)
    first = ops.cast(ops.arange(rows), mstype.int32) * length
    return ops.gather(hidden.reshape((rows * length, width)), first + last, 0)
