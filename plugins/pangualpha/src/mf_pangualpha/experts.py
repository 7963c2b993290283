"""Mixture of experts: several feed-forward layers, of which each token goes through the few that a router chooses.

Every expert computes every token here, and the ones that were not chosen count for nothing. The alternative, a capacity
(Lepikhin et al., 2020, "GShard"), lets an expert take only so many tokens of a batch: what a token gets then depends on
the other rows and on padding, and a text generated token by token with the cache differs from the same text read at
once. Without one, results are a function of the text alone, and shapes are fixed, as graphs want them. It costs the
arithmetic of all experts, so this is for experts that are few, or small, on one device.

Shapes: B batch, S tokens, N = B * S, E hidden size, X experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mf_core.nn import Operators, parameter


class Router(nn.Cell):
    """Chooses ``chosen`` of ``experts`` for each token, by a softmax over scores that are linear in the token.

    Always computes in fp32 (Fedus et al., 2021, "Switch Transformers", section 2.4).

    Args:
        width: E.
        experts: X.
        chosen: How many experts a token goes through.
        std: Standard deviation of the weight's initial values.
        param_dtype: Type of the weight.

    Attributes:
        totals: Cells that add up sums over the processes that share a batch.
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

    def __init__(self, width: int, experts: int, chosen: int, *, std: float, param_dtype: str) -> None:
        super().__init__()
        self.experts, self.chosen = experts, chosen
        self.weight = parameter((width, experts), ("normal", std), param_dtype)
        self.on, self.off = Tensor(1.0, mstype.float32), Tensor(0.0, mstype.float32)
        self.totals: tuple[nn.Cell, ...] = ()
        self.scores, self.softmax, self.best, self.one_hot = ops.MatMul(), ops.Softmax(-1), ops.TopK(), ops.OneHot()
        self.choices, self.weigh, self.chosen_total = ops.ReduceSum(), ops.Mul(), ops.ReduceSum(keep_dims=True)
        self.part, self.count, self.total = ops.Div(), ops.Mul(), ops.ReduceSum()

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return each expert's weight for each token, what :meth:`balance` takes; all ``(N, X)`` fp32.

        With one expert chosen its weight is its probability (Switch, equation 2), else the chosen ones' weights add up
        to 1 (GShard, section 2.2).

        Args:
            x: ``(N, E)``.
        """
        scores = self.scores(ops.cast(x, mstype.float32), ops.cast(self.weight, mstype.float32))
        probabilities = self.softmax(scores)
        _, best = self.best(ops.stop_gradient(probabilities), self.chosen)
        picked = self.choices(self.one_hot(best, self.experts, self.on, self.off), 1)
        weights = self.weigh(probabilities, picked)
        if self.chosen > 1:
            weights = self.part(weights, self.chosen_total(weights, -1))
        return weights, probabilities, picked

    def balance(self, probabilities: Tensor, picked: Tensor, counted: Tensor) -> Tensor:
        """Return the loss ``X * sum(f * p)`` (Switch, equation 4), a scalar: 1 where all experts have an equal part.

        f is the share of the choices that fell on an expert, p its mean probability.

        Args:
            probabilities: ``(N, X)``.
            picked: ``(N, X)``, 1 where a token goes through an expert.
            counted: ``(N,)`` fp32, 1 for tokens that count and 0 for padding.
        """
        counted = counted.reshape((-1, 1))
        chosen, probable = self.total(self.count(picked, counted), 0), self.total(self.count(probabilities, counted), 0)
        sums = ops.concat((chosen, probable, self.total(counted).reshape((1,))))
        for total in self.totals:
            sums = total(sums)
        share, mean, tokens = ops.split(sums, (self.experts, self.experts, 1))
        tokens = ops.maximum(tokens, self.on)
        return (share * mean).sum() * (self.experts / self.chosen) / ops.square(tokens).sum()


class MixtureOfExperts(nn.Cell):
    """A router and its experts.

    Args:
        router: Chooses.
        experts: Cells that map ``(B, S, E)`` to the same.
    """

    operators: ClassVar[Operators] = {
        "pick": ("rows positions -",),
        "weigh": ("rows positions -", "rows positions -"),
        "add": ("rows positions -", "rows positions -"),
    }

    def __init__(self, router: Router, experts: Sequence[nn.Cell]) -> None:
        super().__init__()
        self.router = router
        self.experts = nn.CellList(list(experts))
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
        """Be one of several processes that share the experts, or a batch.

        Args:
            own: The experts that this process has.
            gather: Makes ``(n * B, …)`` of the rows of the n processes that share the experts; None: it is alone.
            scatter: Adds up ``(n * B, …)`` of each and returns the process's own rows.
            positions: Takes of ``(B, S)`` the positions that this process has, where activations are split so.
            totals: Add up the router's sums over the processes that share a batch.
        """
        self.own, self.gather, self.scatter, self.positions = tuple(own), gather, scatter, positions
        self.router.totals = totals

    def construct(self, x: Tensor, counted: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Return ``(B, S, E)`` for the same; with ``counted``, also the router's balance loss.

        Args:
            x: ``(B, S, E)``.
            counted: ``(B, S)`` fp32, 1 for tokens and 0 for padding, which has no part in the loss.
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
        if counted is None:
            return total
        if self.positions is not None:
            counted = self.positions(counted)
        return total, self.router.balance(probabilities, picked, counted)
