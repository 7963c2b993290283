"""How much memory a training step of a decoder takes on a device, computed from shapes.

What is derived, by counting what operators keep for the backward pass. B rows, S positions, E hidden size, F inner
width, H heads, V vocabulary:

* attention keeps the norm's input and output, queries, keys and values, and what is projected, each ``(B, S, E)``, and
  the weights ``(B, H, S, S)`` after the softmax;
* the feed-forward part keeps the norm's input and output, and of ``(B, S, F)`` what the activation needs and gives;
* a dropout keeps its mask, and attention's also what it gives;
* the loss has five arrays ``(B, S, V)`` at once: logits, one-hot labels, their gradient, what that is multiplied by,
  and the operator's workspace; a kernel's has two, logits and their gradient, and an activation's keeps two;
* while a layer goes backward, two arrays ``(B, S, F)``, one where the activation is a kernel, or three ``(B, H, S, S)``
  come on top;
* recomputation keeps of a layer its input, what is projected, and the weights after the softmax: cells with a
  custom gradient, such as the softmax, are not recomputed, and their inputs are kept;
* on CPU, several of MindSpore's operators have a table of 16 bytes an element for as long as the graph lives: products
  of whole numbers, which dropout draws with, quotients of arrays, and every product or sum of arrays in fp16.

A step is largest when the backward pass begins, with all activations and no gradients, or when it ends, the other way
round. Calibrated by runs on CPU: the share :data:`MISFIT` of the lesser of the two that is taken beside the greater,
since what is freed has not the sizes of what is needed, and less where gradients are exchanged after the graph; how
many arrays of each gradient a cluster's step holds; and what compiled graphs take, see
:mod:`mf_core.planner.overhead`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from ..optim.table import optimizer_spec
from ..parallel.config import ParallelConfig, RecomputeConfig
from ..parallel.device_mesh import Layout
from ..parallel.plan import ShardSpec
from .decoder_shape import DecoderShape
from .overhead import GraphSize, buffers

#: Bytes an element of a table.
TABLE = 16
#: Kernels that make activations, which keep their input alone.
KERNELS = {
    "gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "gelu_fast": "gelu", "quick_gelu": "swish", "silu": "swish",
    "swish": "swish",
}  # fmt: skip
#: Share of the lesser of activations and gradients that is taken beside the greater.
MISFIT = 0.5
#: The same, where copies exchange gradients once the backward pass has ended and its activations are free.
MISFIT_EXCHANGED = 0.33


@dataclass(frozen=True)
class StepShape:
    """The properties of a training step that its memory depends on.

    Attributes:
        rows: Of a batch, in each copy of the model.
        length: Positions of a row.
        compute_size: Bytes of the type computed in: 4 or 2. Weights, gradients and states are of 4.
        optim: The optimizer.
        accumulation: Batches of a step.
        parallel: How the model is sharded.
        recompute: What is recomputed.
        on_host: Whether devices are processes on CPU, whose graphs and tables are in the same memory.
        kernels: Those of the backend's that are in use; see :mod:`mf_core.nn.kernels`.
    """

    rows: int
    length: int
    compute_size: int = 4
    optim: str = "adamw"
    accumulation: int = 1
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    recompute: RecomputeConfig = field(default_factory=RecomputeConfig)
    on_host: bool = True
    kernels: frozenset[str] = frozenset()

    @property
    def micro_rows(self) -> int:
        """Rows of a micro-batch."""
        return max(1, self.rows // self.parallel.micro_batch_num)

    def fuses_attention(self, decoder: DecoderShape) -> bool:
        """Return whether one kernel computes attention as a whole."""
        plain = decoder.attention_dropout or self.compute_size != 4 or decoder.softmax_size == 2
        return "self_attention" in self.kernels and not plain

    @property
    def accumulates(self) -> bool:
        """Whether gradients of several passes are added up."""
        return self.accumulation * self.parallel.micro_batch_num > 1 or self.parallel.pipeline_stage > 1


@dataclass(frozen=True)
class Memory:
    """Peak memory of a step on a device, in bytes.

    Attributes:
        weights: fp32, and copies in the type computed in.
        gradients: All that there are at the end of the backward pass, sums of several passes included.
        optimizer: Its states.
        activations: What the step takes beyond those: it goes down with rows and positions.
        other: Compiled graphs on CPU; buffers of communication elsewhere.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    other: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.as_dict().values())

    def as_dict(self) -> dict[str, int]:
        """Return the parts by name."""
        return asdict(self)


class Estimate:
    """The memory of a step on the device at one rank of the grid.

    Args:
        decoder: The model's sizes.
        specs: How its parameters are sharded; see :func:`mf_core.parallel.shard_specs`.
        step: What is computed.
        layout: The grid, seen from the device.
        layers: Layers of the whole model.
        trained: Parameters that are trained; None: all.
    """

    def __init__(
        self,
        decoder: DecoderShape,
        specs: Mapping[str, ShardSpec],
        step: StepShape,
        layout: Layout,
        layers: int,
        trained: Iterable[str] | None = None,
    ) -> None:
        self.decoder, self.step, self.layout = decoder, step, layout
        self.layers = layers // layout.pipeline
        sizes = {name: math.prod(p.local_shape(layout)) for name, p in specs.items() if p.is_on(layout)}
        chosen = set(sizes) if trained is None else set(trained)
        self.count = sum(sizes.values())
        self.trained = sum(size for name, size in sizes.items() if name in chosen)
        self.largest = max((size for name, size in sizes.items() if name in chosen), default=0)
        parallel = step.parallel
        self.tensor = layout.tensor
        #: How many processes share what is not split by heads or columns.
        self.positions_parts = self.tensor if parallel.use_seq_parallel else 1
        self.vocabulary = decoder.vocabulary // (1 if parallel.vocab_emb_dp else self.tensor)
        self.size = step.compute_size
        self.tokens = step.micro_rows * step.length
        #: Bytes of ``(B, S, E)`` in the type computed in; of a process's positions of it; of the same in fp32.
        self.wide = self.size * self.tokens * decoder.hidden
        self.own = self.wide // self.positions_parts
        self.own_fp32 = 4 * self.tokens * decoder.hidden // self.positions_parts
        self.inner = self.size * self.tokens * decoder.inner // self.tensor
        by_kernel = KERNELS.get(decoder.activation) in step.kernels and self.size == 4
        self.kept_inner = 2 if by_kernel else decoder.kept
        #: Arrays of the inner width that come on top as a layer goes backward; a kernel's output is free by then.
        self.backward_inner = 1 if by_kernel else 2
        self.fused = step.fuses_attention(decoder)
        #: Numbers of ``(B, H, S, S)``; none where a kernel makes them again and again.
        self.scores = 0 if self.fused else step.micro_rows * decoder.heads * step.length**2 // self.tensor

    def memory(self) -> Memory:
        """Return it."""
        step, shard = self.step, self.step.parallel.optimizer_shard and self.layout.data > 1
        part = -(-self.trained // self.layout.data) if shard else self.trained
        weights = 4 * self.count + (self.size * self.count if self.size < 4 else 0)
        # With shards, one of the weights beside its states.
        states = 4 * part * (optimizer_spec(step.optim).states_per_weight + (1 if shard else 0))
        sums = 4 * self.trained if step.accumulates else 0
        last = int(4 * self.trained * self._gradient_sets())
        begin, end = self._at_begin(), last + self._at_end()
        # Two graphs that take turns, one adding to the sums and one updating, leave each other none of the lesser.
        misfit = 1 if step.accumulates else MISFIT_EXCHANGED if self.layout.data > 1 else MISFIT
        most = max(begin, end) + int(misfit * min(begin, end))
        other = GraphSize().of(self.decoder, step, self.layout, self.layers) if step.on_host else buffers(self.layout)
        return Memory(weights, sums + last, states, most - last + self._tables(), other)

    def _gradient_sets(self) -> float:
        """Return how many arrays of each gradient there are at the end, beside a sum of several passes.

        In one process it is that which comes, with the sum added, and divided by the targets. In a cluster they are
        that which comes or zeros, what the update gets, and divided; where they are exchanged, also in messages and cut
        out of them. Messages are made outside of graphs, where memory is reused less well. Where each copy updates a
        part, all but what comes and the messages to and fro are parts. Counted so, exchanging takes 2 sets, and with
        parts there are 3 beside the messages; some of it is reused, and runs showed 1.8 and 2.5.
        """
        accumulates, data = self.step.accumulates, self.layout.data
        if self.layout.size == 1:
            return 1 + max(2 * accumulates, self.size < 4)
        if self.step.parallel.optimizer_shard and data > 1:
            return 2.5 + accumulates + 4 / data
        return 3 + accumulates + 1.8 * (data > 1)

    # Activations ------------------------------------------------------------------------------------------------------

    def attention(self) -> int:
        """Return the bytes that a layer's attention keeps."""
        decoder, size = self.decoder, self.size
        softmax = decoder.softmax_size or size
        weights = self.scores * (softmax + (size if softmax != size else 0) + 2 * size * decoder.attention_dropout)
        # With activations split by position, each linear gathers its own input.
        inputs = self.wide * (decoder.attention_inputs if self.positions_parts > 1 else 1)
        rest = self.own * decoder.hidden_dropout + self._summed()
        return self.own_fp32 + inputs + 4 * self.wide // self.tensor + weights + rest

    def feed_forward(self) -> int:
        """Return the bytes that a layer's feed-forward part keeps."""
        decoder = self.decoder
        each = self.kept_inner * self.inner + self.own * decoder.hidden_dropout
        mixed = 2 * self.wide * decoder.experts if decoder.experts > 1 else 0
        return self.own_fp32 + self.wide + (each + self._summed()) * decoder.experts + mixed

    def _summed(self) -> int:
        """Return the bytes that a sum over the tensor axis keeps: its input and output."""
        return self.wide + self.own if self.tensor > 1 else 0

    def kept(self) -> int:
        """Return the bytes that a layer keeps from its forward to its backward pass."""
        decoder, recompute = self.decoder, self.step.recompute
        softmax = self.scores * ((decoder.softmax_size or self.size) + 2 * self.size * decoder.attention_dropout)
        masks = 2 * self.own * decoder.hidden_dropout
        if recompute.recompute:
            return self.own + (0 if self.fused else self.wide // self.tensor + softmax) + masks
        if recompute.select_recompute:
            return self.feed_forward() + self.own_fp32 + self.wide + self.wide // self.tensor + softmax + masks // 2
        return self.attention() + self.feed_forward()

    def _at_begin(self) -> int:
        """Return the bytes of activations at the worst moment of the backward pass's beginning."""
        decoder, layout = self.decoder, self.layout
        attention, feed_forward = self.attention(), self.feed_forward()
        before = (self.layers - 1) * self.kept() + self._waiting()
        if layout.is_first:
            before += self.own * decoder.embedding_dropout
        table, loss = 0, 0
        if layout.is_last:
            before += self.own_fp32 + self.wide
            table = 4 * self.vocabulary * decoder.hidden
            arrays = 2 if "cross_entropy" in self.step.kernels and self.vocabulary == decoder.vocabulary else 5
            loss = self.tokens * self.vocabulary * (arrays * 4 + (self.size if self.size < 4 else 0))
        else:
            before += 3 * self.own_fp32  # what the stage made, its gradient, and their product
        scores = self.scores * (decoder.softmax_size or self.size)
        return before + max(
            self.kept() + loss,
            attention + feed_forward + table + self.backward_inner * self.inner,
            attention + table + 3 * self.wide + 3 * scores,
        )

    def _at_end(self) -> int:
        """Return the bytes beside the gradients at the end of the backward pass."""
        layer = self.attention() + self.feed_forward()
        weights = 4 * self.trained // max(1, self.layers)
        return self._waiting() + max(4 * self.largest, layer - weights)

    def _waiting(self) -> int:
        """Return the bytes of the inputs of a stage's micro-batches that await their backward pass."""
        layout = self.layout
        if layout.pipeline == 1:
            return 0
        return self.own * min(layout.pipeline - layout.stage, self.step.parallel.micro_batch_num)

    def _tables(self) -> int:
        """Return the bytes of the tables that operators keep on CPU."""
        if not self.step.on_host:
            return 0
        decoder, recompute, half = self.decoder, self.step.recompute, self.size < 4
        wide = self.tokens * decoder.hidden // self.positions_parts
        first, loss = wide * decoder.embedding_dropout * self.layout.is_first, 0
        if self.layout.is_last and not self.step.parallel.vocab_emb_dp:
            loss = self.tokens * self.vocabulary  # the softmax over what several processes have divides
        drawn = {
            "attention": self.scores * decoder.attention_dropout + wide * decoder.hidden_dropout,
            "rest": wide * decoder.experts * decoder.hidden_dropout,
        }
        twice = {"attention": recompute.recompute or recompute.select_recompute, "rest": recompute.recompute}
        layer = sum(elements * (1 + twice[part]) for part, elements in drawn.items()) * (1 + 3 * half)
        if half:
            layer += 3 * self.kept_inner * self.inner // self.size * decoder.experts + 3 * wide
        updates = self.trained * optimizer_spec(self.step.optim).tables_per_weight
        return TABLE * (self.layers * layer + first + loss + updates)
