"""A small encoder with heads that are not causal, and faults that its class attribute ``fault`` turns on."""

from __future__ import annotations

from typing import Annotated, ClassVar

import mindspore as ms
from mindspore import ops
from pydantic import Field

from mf_core import PretrainedConfig, PretrainedModel
from mf_core.nn import Embedding, LayerNorm, Linear
from mf_core.parallel import ParallelPlan

Positive = Annotated[int, Field(gt=0)]


class MarksConfig(PretrainedConfig):
    model_type: ClassVar[str] = "marks"
    vocab_size: Positive = 30
    hidden_size: Positive = 16
    num_heads: Positive = 2
    num_layers: Positive = 1
    head_dim: Positive | None = None
    seq_length: Positive = 24
    num_labels: Positive = 3
    compute_dtype: str = "float32"


class MarksEncoder(PretrainedModel):
    """One attention layer over tokens that see each other in both directions, and a pooler."""

    config_class = MarksConfig
    parallel_plan = ParallelPlan(columns=("q", "k", "v"), rows=("out",), layers=(), first=("nothing",), last=("none",))
    fault: ClassVar[str] = ""

    def __init__(self, config: MarksConfig) -> None:
        super().__init__(config)
        size, self.num_heads = config.hidden_size, config.num_heads
        self.width = config.head_dim or size // config.num_heads
        inner = size if self.fault == "assumes the width" else self.num_heads * self.width
        self.embed = Embedding(config.vocab_size, size)
        positions = config.seq_length - (self.fault == "short table")
        self.position = Embedding(positions, size)
        self.q, self.k, self.v = Linear(size, inner), Linear(size, inner), Linear(size, inner)
        self.out, self.norm, self.pooler = Linear(inner, size), LayerNorm(size), Linear(size, size)
        self.post_init()

    def encode(self, input_ids, attention_mask=None, position_ids=None):
        rows, length = input_ids.shape
        if position_ids is None:
            position_ids = ops.broadcast_to(ops.arange(length).reshape((1, length)), (rows, length))
        x = self.embed(input_ids) + self.position(position_ids)
        q, k, v = (
            ops.transpose(project(x).reshape((rows, length, self.num_heads, self.width)), (0, 2, 1, 3))
            for project in (self.q, self.k, self.v)
        )
        scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) * self.width**-0.5
        if attention_mask is not None and self.fault != "ignores padding":
            hidden = (1 - ops.cast(attention_mask, ms.float32)) * -1e9
            scores = scores + hidden.reshape((rows, 1, 1, length))
        mixed = ops.matmul(ops.softmax(scores, -1), v)
        mixed = ops.transpose(mixed, (0, 2, 1, 3)).reshape((rows, length, self.num_heads * self.width))
        if self.fault == "mixes rows":
            mixed = mixed + ops.mean(mixed, 0, True)
        return self.norm(x + self.out(mixed))

    def construct(self, input_ids, attention_mask=None, position_ids=None):
        hidden = self.encode(input_ids, attention_mask, position_ids)
        return hidden, ops.tanh(self.pooler(hidden[:, 0]))


class MarksForClassification(MarksEncoder):
    new_cells = ("classifier",)
    lora_targets = ("q", "v")

    def __init__(self, config: MarksConfig) -> None:
        super().__init__(config)
        self.classifier = Linear(config.hidden_size, config.num_labels)

    def construct(self, input_ids, attention_mask=None, position_ids=None):
        hidden = self.encode(input_ids, attention_mask, position_ids)
        pooled = hidden[:, 0] if self.fault == "forgets the pooler" else ops.tanh(self.pooler(hidden[:, 0]))
        if self.fault == "pools padding":
            pooled = pooled + ops.mean(hidden, 1)
        logits = self.classifier(pooled)
        if self.fault == "half precision":
            logits = ops.cast(logits, ms.float16)
        return logits * 0.0 if self.fault == "reads nothing" else logits


class MarksForImages(PretrainedModel):
    """Reads pixels: the kit makes them of the configuration's image_size."""

    config_class = MarksConfig
    image_size = 4

    def __init__(self, config: MarksConfig) -> None:
        super().__init__(config)
        self.project = Linear(3 * 16, config.num_labels)
        self.post_init()

    def construct(self, pixel_values):
        return self.project(pixel_values.reshape((pixel_values.shape[0], 48)))
