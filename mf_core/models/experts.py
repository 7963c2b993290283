"""Mixture of experts: several feed-forward layers, of which each token goes through the few that a router chooses.

Every expert computes every token, and those that were not chosen get the weight 0. The alternative, a capacity
(Lepikhin et al., 2020, "GShard"), lets an expert take a limited number of tokens of a batch: a token's output then
depends on the other rows and on padding, and a text generated token by token with the cache differs from the same text
read at once. Without a capacity, results are a function of the text alone, and shapes are fixed, as graphs need them.
It costs the arithmetic of all experts, so this is for experts that are few, or small, on one device.

Shapes: B batch, S tokens, N = B * S, E hidden size, X experts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from ..nn import Operators, parameter
from .parts import NamedParts, Part


class Router(nn.Cell):
    """Chooses ``chosen`` of ``experts`` for each token, by a softmax over scores that are linear in the token.

    Always computes in fp32 (Fedus et al., 2021, "Switch Transformers", section 2.4).

    Args:
        width: E.
        experts: X.
        chosen: How many experts a token goes through.
        std: Standard deviation of the weight's initial values.
        param_dtype: Type of the weight.
        normalize: Whether the chosen experts' probabilities are divided by their sum; None: where several are chosen
            (GShard, section 2.2; Switch, equation 2).
        outputs_first: Whether the weight is ``(X, E)`` rather than ``(E, X)``.
        sigmoid, correction, groups, chosen_groups, scale: See :class:`mf_core.models.ExpertsSpec`.

    Attributes:
        totals: Cells that sum over the processes that share a batch.
    """

    operators: ClassVar[Operators] = {
        "scores": ("tokens -", "- -"),
        "softmax": ("tokens -",),
        "best": ("tokens -",),
        "one_hot": ("tokens - -", "", ""),
        "choices": ("tokens - -",),
        "weigh": ("tokens -", "tokens -"),
        "chosen_total": ("tokens -",),
        "part": ("tokens -", "tokens -"),
        "count": ("tokens -", "tokens -"),
        "total": ("tokens -",),
    }

    def __init__(
        self, width: int, experts: int, chosen: int, *, std: float = 0.02, param_dtype: str = "float32",
        normalize: bool | None = None, outputs_first: bool = False, sigmoid: bool = False, correction: bool = False,
        groups: int = 1, chosen_groups: int = 1, scale: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.sigmoid, self.groups, self.chosen_groups, self.scale = sigmoid, groups, chosen_groups, scale
        self.e_score_correction_bias = parameter((experts,), 0.0, "float32") if correction else None
        if self.e_score_correction_bias is not None:
            self.e_score_correction_bias.requires_grad = False  # balances the experts, and is no weight
        self.experts, self.chosen, self.outputs_first = experts, chosen, outputs_first
        self.normalize = chosen > 1 if normalize is None else normalize
        self.weight = parameter((experts, width) if outputs_first else (width, experts), ("normal", std), param_dtype)
        self.on, self.off = Tensor(1.0, mstype.float32), Tensor(0.0, mstype.float32)
        self.totals: tuple[nn.Cell, ...] = ()
        self.scores, self.softmax = ops.MatMul(transpose_b=outputs_first), ops.Softmax(-1)
        self.best, self.one_hot = ops.TopK(), ops.OneHot()
        self.choices, self.weigh, self.chosen_total = ops.ReduceSum(), ops.Mul(), ops.ReduceSum(keep_dims=True)
        self.part, self.count, self.total = ops.Div(), ops.Mul(), ops.ReduceSum()

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return each expert's weight for each token, its probability, and 1 where it is chosen; all ``(N, X)`` fp32.

        Args:
            x: ``(N, E)``.
        """
        scores = self.scores(ops.cast(x, mstype.float32), ops.cast(self.weight, mstype.float32))
        probabilities = ops.sigmoid(scores) if self.sigmoid else self.softmax(scores)
        _, best = self.best(self.ranked(ops.stop_gradient(probabilities)), self.chosen)
        picked = self.choices(self.one_hot(best, self.experts, self.on, self.off), 1)
        weights = self.weigh(probabilities, picked)
        if self.normalize:
            total = self.chosen_total(weights, -1)
            weights = self.part(weights, total + 1e-20 if self.sigmoid else total)
        if self.scale != 1:
            weights = weights * self.scale
        return weights, probabilities, picked

    def ranked(self, probabilities: Tensor) -> Tensor:
        """Return what experts are chosen by, ``(N, X)``: lowest for those of groups that are not chosen."""
        if self.e_score_correction_bias is not None:
            probabilities = probabilities + ops.broadcast_to(self.e_score_correction_bias, probabilities.shape)
        if self.groups == 1:
            return probabilities
        grouped = probabilities.reshape((-1, self.groups, self.experts // self.groups))
        best, _ = self.best(grouped, 2 if self.sigmoid else 1)
        _, groups = self.best(best.sum(-1), self.chosen_groups)
        kept = self.choices(self.one_hot(groups, self.groups, self.on, self.off), 1)
        outside = ops.broadcast_to((1.0 - kept).expand_dims(-1), grouped.shape) * -1e9
        return (grouped + outside).reshape(probabilities.shape)

    def balance(self, probabilities: Tensor, picked: Tensor, counted: Tensor) -> Tensor:
        """Return the loss ``X * sum(f * p)`` (Switch, equation 4), a scalar: 1 where all experts get equal shares.

        f is the share of the choices that fall on an expert, p its mean probability.

        Args:
            probabilities: ``(N, X)``.
            picked: ``(N, X)``, 1 where a token goes through an expert.
            counted: ``(N,)`` fp32, 1 for tokens and 0 for padding.
        """
        counted = counted.reshape((-1, 1))
        chosen, probable = self.total(self.count(picked, counted), 0), self.total(self.count(probabilities, counted), 0)
        sums = ops.concat((chosen, probable, self.total(counted).reshape((1,))))
        for total in self.totals:
            sums = total(sums)
        share, mean, tokens = ops.split(sums, (self.experts, self.experts, 1))
        tokens = ops.maximum(tokens, self.on)
        return (share * mean).sum() * (self.experts / self.chosen) / ops.square(tokens).sum()


class MixtureOfExperts(NamedParts):
    """A router and its experts.

    Args:
        router: Chooses.
        experts: Cells that map ``(B, S, E)`` to the same.
        names: See :class:`NamedParts`.
        shared_expert: A cell that all tokens go through as well; None: there is none.
        shared_expert_gate: Linear to ``(B, S, 1)``: its sigmoid multiplies what the shared expert returns; None: there
            is none.
    """

    router, experts, shared_expert, shared_expert_gate = Part(), Part(), Part(), Part()

    operators: ClassVar[Operators] = {
        "pick": ("rows positions -",),
        "weigh": ("rows positions -", "rows positions -"),
        "add": ("rows positions -", "rows positions -"),
    }

    def __init__(
        self, router: Router, experts: Sequence[nn.Cell], names: Mapping[str, str] | None = None, *,
        shared_expert: nn.Cell | None = None, shared_expert_gate: nn.Cell | None = None,
    ) -> None:  # fmt: skip
        super().__init__(names)
        self.add_part("router", router)
        self.add_part("experts", nn.CellList(list(experts)))
        self.experts.role = "experts"  # see mf_core.parallel.plan.plan_from_roles
        if shared_expert is not None:
            self.add_part("shared_expert", shared_expert)
        if shared_expert_gate is not None:
            self.add_part("shared_expert_gate", shared_expert_gate)
        self.own = tuple(range(len(experts)))
        self.gather: nn.Cell | None = None
        self.scatter: nn.Cell | None = None
        self.positions: nn.Cell | None = None
        self.pick, self.weigh, self.add = ops.StridedSlice(), ops.Mul(), ops.Add()

    def share(
        self,
        own: range,
        *,
        gather: nn.Cell | None,
        scatter: nn.Cell | None,
        positions: nn.Cell | None,
        totals: tuple[nn.Cell, ...],
    ) -> None:
        """Become one of several processes that share the experts, or a batch.

        Args:
            own: The experts that this process has.
            gather: Concatenates the rows of the n processes that share the experts, ``(n * B, …)``; None: it is alone.
            scatter: Sums ``(n * B, …)`` over the processes and returns the process's own rows.
            positions: Selects of ``(B, S)`` the positions that this process has, where activations are split so.
            totals: Sum the router's sums over the processes that share a batch.
        """
        self.own, self.gather, self.scatter, self.positions = tuple(own), gather, scatter, positions
        self.router.totals = totals

    def construct(self, x: Tensor, counted: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Return ``(B, S, E)`` for the same; with ``counted``, also the router's balance loss.

        Args:
            x: ``(B, S, E)``.
            counted: ``(B, S)`` fp32, 1 for tokens and 0 for padding, which the loss leaves out.
        """
        weights, probabilities, picked = self.router(x.reshape((-1, x.shape[-1])))
        shares = ops.cast(weights, x.dtype).reshape(x.shape[:-1] + (-1,))
        rows = x
        if self.gather is not None:
            rows, shares = self.gather(rows), self.gather(shares)
        total = None
        for i in self.own:
            share = self.pick(shares, (0, 0, i), (*shares.shape[:-1], i + 1), (1, 1, 1))
            weighed = self.weigh(self.experts[i](rows), share)
            total = weighed if total is None else self.add(total, weighed)
        if self.scatter is not None:
            total = self.scatter(total)
        if self.shared_expert is not None:
            shared = self.shared_expert(x)
            if self.shared_expert_gate is not None:
                gate = ops.sigmoid(self.shared_expert_gate(x))
                shared = shared * ops.broadcast_to(gate, shared.shape)
            total = self.add(total, shared)
        if counted is None:
            return total
        if self.positions is not None:
            counted = self.positions(counted)
        return total, self.router.balance(probabilities, picked, counted)


def count_tokens(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Return ``(B, S)`` fp32: 1 for tokens and 0 for padding."""
    if attention_mask is None:
        return ops.ones(input_ids.shape, mstype.float32)
    counted = ops.cast(attention_mask != 0, mstype.float32)
    if counted.ndim == 3:
        length = input_ids.shape[1]
        counted = (counted * ops.eye(length, length, mstype.float32)).sum(-1)  # padding does not attend to itself
    return counted
