"""Layers that families share. Shapes: ``(batch, seq, features)`` in and out, unless said."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from .init import activation_dtype, ms_dtype, parameter
from .kernels import kernel, product_kernel
from .operators import Operators

#: How tensor parallelism splits a layer's weight.
Role = Literal["column", "row", "vocabulary"]


def _can_fuse(layer: Any, rows: Tensor) -> bool:
    """Return whether a layer's kernel makes its product, of fp32 arrays."""
    usable: bool = layer.kernel is not None and not layer.by_compiler
    return usable and rows.dtype == mstype.float32


class Linear(nn.Cell):
    """``x @ weight + bias`` with ``weight`` of shape ``(in, out)``, as GPT-2's checkpoints store it.

    Args:
        in_features, out_features: Widths.
        outputs_first: Whether ``weight`` is ``(out, in)`` and the product ``x @ weight.T``, as most other checkpoints
            store it; the model's :class:`mf_core.parallel.ParallelPlan` then says so too.
        std: Standard deviation of the weight's initial values; the bias begins at 0.
        bias: Whether there is one.
        param_dtype: Type of the parameters.
        dtype: Type of the product.
        role: How tensor parallelism splits the layer: ``"column"`` by its outputs, ``"row"`` by its inputs, which
            follow columns and whose products are summed; None: every process holds and computes all of it.
        fused: How many weights are concatenated along the outputs (3 for query, key and value), or their relative
            sizes where they differ; each process has its share of each.

    Attributes:
        enter, leave: Collectives before and after the product, where the weight is split over processes.
        by_compiler: Whether MindSpore's parallel compiler splits the operators.
    """

    operators: ClassVar[Operators] = {
        "matmul": ("tokens in", "in out", "-> summed out"),
        "matmul_outputs_first": ("tokens in", "out in", "-> summed out"),
        "bias_add": ("summed out", "out"),
    }

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        std: float = 0.02,
        bias: bool = True,
        param_dtype: str = "float32",
        dtype: str = "float32",
        outputs_first: bool = False,
        role: Role | None = None,
        fused: int | tuple[int, ...] = 1,
    ) -> None:
        super().__init__()
        self.role, self.fused = role, fused
        self.in_features, self.out_features, self.outputs_first = in_features, out_features, outputs_first
        shape = (out_features, in_features) if outputs_first else (in_features, out_features)
        self.weight = parameter(shape, ("normal", std), param_dtype)
        self.bias = parameter((out_features,), 0.0, param_dtype) if bias else None
        self.compute_dtype = dtype
        self.dtype = activation_dtype(dtype)
        self.kernel: Any = product_kernel(dtype, outputs_first=outputs_first)
        self.enter: nn.Cell | None = None
        self.leave: nn.Cell | None = None
        self.make_operators()

    def extend_repr(self) -> str:
        """Return the sizes, for ``print(model)``."""
        return f"{self.in_features} -> {self.out_features}{', no bias' if getattr(self, 'bias', None) is None else ''}"

    def compute_in(self, dtype: str) -> None:
        """Make the product in a type, by its name, from now on; the weight stays as it is."""
        self.compute_dtype = dtype
        self.dtype = activation_dtype(dtype)
        self.kernel = product_kernel(dtype, outputs_first=self.outputs_first)

    def make_operators(self) -> None:
        """Make the layer's operators."""
        self.bias_add = ops.BiasAdd()
        self.by_compiler = False
        self.bias_kernel: Any = kernel("bias_add")
        self.matmul: Any = None if self.outputs_first else ops.MatMul()
        self.matmul_outputs_first: Any = ops.MatMul(transpose_b=True) if self.outputs_first else None

    def construct(self, x: Tensor) -> Tensor:
        """Return ``(…, out)`` for ``(…, in)``."""
        if self.enter is not None:
            x = self.enter(x)
        rows = ops.cast(x, self.dtype).reshape((-1, self.in_features))
        weight = ops.cast(self.weight, self.dtype)
        bias = None if self.bias is None else ops.cast(self.bias, self.dtype)
        fused = _can_fuse(self, rows)
        shape = x.shape[:-1] + (self.out_features,)
        if fused and self.leave is None:
            return self.kernel(rows, weight, bias).reshape(shape)
        if fused:
            y = self.kernel(rows, weight, None)
        else:
            y = self.matmul(rows, weight) if self.matmul is not None else self.matmul_outputs_first(rows, weight)
        if self.leave is not None:
            y = self.leave(y.reshape(shape))
            shape = y.shape
            y = y.reshape((-1, self.out_features))
        if bias is not None:
            # Not y + bias: the gradient of that, a sum over rows, is computed last of all and keeps every y alive.
            plain = self.bias_kernel is None or y.dtype != mstype.float32 or self.by_compiler
            y = self.bias_add(y, bias) if plain else self.bias_kernel(y, bias)
        return y.reshape(shape)


class LayerNorm(nn.Cell):
    """Layer normalisation over the last axis (Ba et al., 2016), with the parameters ``weight`` and ``bias``.

    Args:
        size: Width.
        epsilon: Added to the variance.
        bias: Whether there is a bias.
        param_dtype: Type of the parameters.
        dtype: Type of the computation; the result has the input's.

    Attributes:
        by_compiler: Whether MindSpore's parallel compiler splits the operators.
    """

    operators: ClassVar[Operators] = {"norm": ("rows positions -", "-", "-")}

    def __init__(
        self, size: int, *, epsilon: float = 1e-5, bias: bool = True, param_dtype: str = "float32",
        dtype: str = "float32",
    ) -> None:  # fmt: skip
        super().__init__()
        self.weight = parameter((size,), 1.0, param_dtype)
        self.bias = parameter((size,), 0.0, param_dtype) if bias else None
        self.no_bias = None if bias else Tensor(np.zeros(size, np.float32))
        self.dtype = ms_dtype(dtype)
        # The primitive, not ops.layer_norm: that has no CPU kernel outside graphs.
        self.norm = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=epsilon)
        self.epsilon, self.kernel, self.by_compiler = epsilon, kernel("layer_norm"), False

    def construct(self, x: Tensor) -> Tensor:
        """Return the normalised ``x``."""
        wide = ops.cast(x, self.dtype)
        weight = ops.cast(self.weight, self.dtype)
        bias = ops.cast(self.no_bias if self.bias is None else self.bias, self.dtype)
        if self.kernel is not None and wide.dtype == mstype.float32 and not self.by_compiler:
            return ops.cast(self.kernel(wide, weight, bias, self.epsilon), x.dtype)
        y, _, _ = self.norm(wide, weight, bias)
        return ops.cast(y, x.dtype)


class Embedding(nn.Cell):
    """Rows of ``weight``, ``(num_embeddings, size)``. The caller checks the range of ids.

    Args:
        num_embeddings, size: Shape of the weight.
        std: Standard deviation of its initial values.
        param_dtype: Its type.
        dtype: Type of what is returned, and of the product in :meth:`attend`.
        role: ``"vocabulary"``: its rows may be split over processes; None: every process has all of them.

    Attributes:
        start: Number of the first row that this process has; None: it has all.
        leave: What is said to other processes after a look-up, where rows or positions are split.
        enter: What is said to them before :meth:`attend`.
        gather: Makes whole logits of each process's.
        by_compiler: Whether MindSpore's parallel compiler splits the operators.
    """

    operators: ClassVar[Operators] = {
        "look_up": ("vocabulary -", "rows positions"),
        "product": ("all -", "vocabulary -"),
    }

    def __init__(
        self, num_embeddings: int, size: int, *, std: float = 0.02, param_dtype: str = "float32",
        dtype: str = "float32", role: Role | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.role = role
        self.weight = parameter((num_embeddings, size), ("normal", std), param_dtype)
        self.compute_dtype = dtype
        self.dtype = activation_dtype(dtype)
        self.kernel: Any = product_kernel(dtype, outputs_first=True)
        self.start: int | None = None
        self.leave: nn.Cell | None = None
        self.enter: nn.Cell | None = None
        self.gather: nn.Cell | None = None
        self.look_up, self.product = ops.Gather(), ops.MatMul(transpose_b=True)
        self.by_compiler = False

    def extend_repr(self) -> str:
        """Return the sizes, for ``print(model)``."""
        weight = getattr(self, "weight", None)  # a stage of a pipeline has not all of a model's
        return "" if weight is None else " x ".join(map(str, weight.shape))

    def compute_in(self, dtype: str) -> None:
        """Compute in a type, by its name, from now on; the weight stays as it is."""
        self.compute_dtype = dtype
        self.dtype = activation_dtype(dtype)
        self.kernel = product_kernel(dtype, outputs_first=True)

    def construct(self, ids: Tensor) -> Tensor:
        """Return ``(…, size)`` for ids ``(…)``."""
        if self.start is None:
            rows = self.look_up(self.weight, ids, 0)
        else:
            # Places count from 1: `ids - 0` would be simplified away in the first process alone, and processes with
            # different graphs take their messages in different orders.
            indices = ids - (self.start - 1)
            here = ops.logical_and(indices >= 1, indices <= self.weight.shape[0])
            rows = self.look_up(self.weight, ops.select(here, indices, ops.ones_like(indices)) - 1, 0)
            rows = rows * ops.broadcast_to(ops.cast(here, rows.dtype).expand_dims(-1), rows.shape)
        rows = ops.cast(rows, self.dtype)
        return rows if self.leave is None else self.leave(rows)

    def attend(self, x: Tensor, *, whole: bool = True) -> Tensor:
        """Return the logits ``x @ weight.T`` in fp32: the tied language-model head. ``(…, size)`` to ``(…, num)``.

        Args:
            x: ``(…, size)``.
            whole: Whether to gather the logits where the rows are split over processes.
        """
        if self.enter is not None:
            x = self.enter(x)
        rows, weight = ops.cast(x.reshape((-1, x.shape[-1])), self.dtype), ops.cast(self.weight, self.dtype)
        if _can_fuse(self, rows):
            logits = self.kernel(rows, weight, None)
        else:
            logits = ops.cast(self.product(rows, weight), mstype.float32)
        logits = logits.reshape(x.shape[:-1] + (self.weight.shape[0],))
        return self.gather(logits) if whole and self.gather is not None else logits
