"""Layers that families share. Shapes: ``(batch, seq, features)`` in and out, unless said."""

from __future__ import annotations

from collections.abc import Callable

from mindspore import Tensor, nn, ops

from .init import ms_dtype, parameter


class Linear(nn.Cell):
    """``x @ weight + bias`` with ``weight`` of shape ``(in, out)``, as GPT-2's checkpoints store it.

    Args:
        in_features, out_features: Widths.
        std: Standard deviation of the weight's initial values; the bias begins at 0.
        bias: Whether there is one.
        param_dtype: Type of the parameters.
        dtype: Type of the product.

    Attributes:
        enter, leave: What is said to other processes before and after the product, where the weight is split.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        std: float = 0.02,
        bias: bool = True,
        param_dtype: str = "float32",
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = parameter((in_features, out_features), ("normal", std), param_dtype)
        self.bias = parameter((out_features,), 0.0, param_dtype) if bias else None
        self.dtype = ms_dtype(dtype)
        self.enter: nn.Cell | None = None
        self.leave: nn.Cell | None = None

    def construct(self, x: Tensor) -> Tensor:
        """Return ``(…, out)`` for ``(…, in)``."""
        if self.enter is not None:
            x = self.enter(x)
        rows = ops.cast(x, self.dtype).reshape((-1, self.in_features))
        y = ops.MatMul()(rows, ops.cast(self.weight, self.dtype))
        shape = x.shape[:-1] + (self.out_features,)
        if self.leave is not None:
            y = self.leave(y.reshape(shape))
            shape = y.shape
            y = y.reshape((-1, self.out_features))
        if self.bias is not None:
            # Not y + bias: the gradient of that, a sum over rows, is computed last of all and keeps every y alive.
            y = ops.BiasAdd()(y, ops.cast(self.bias, self.dtype))
        return y.reshape(shape)


class LayerNorm(nn.Cell):
    """Layer normalisation over the last axis (Ba et al., 2016), with the parameters ``weight`` and ``bias``.

    Args:
        size: Width.
        epsilon: Added to the variance.
        param_dtype: Type of the parameters.
        dtype: Type of the computation; the result has the input's.
    """

    def __init__(
        self, size: int, *, epsilon: float = 1e-5, param_dtype: str = "float32", dtype: str = "float32"
    ) -> None:
        super().__init__()
        self.weight = parameter((size,), 1.0, param_dtype)
        self.bias = parameter((size,), 0.0, param_dtype)
        self.dtype = ms_dtype(dtype)
        # The primitive, not ops.layer_norm: that has no CPU kernel outside graphs.
        self.norm = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=epsilon)

    def construct(self, x: Tensor) -> Tensor:
        """Return the normalised ``x``."""
        y, _, _ = self.norm(ops.cast(x, self.dtype), ops.cast(self.weight, self.dtype), ops.cast(self.bias, self.dtype))
        return ops.cast(y, x.dtype)


class Embedding(nn.Cell):
    """Rows of ``weight``, ``(num_embeddings, size)``. Ids out of range are the caller's to refuse.

    Attributes:
        start: Number of the first row that this process has; None: it has all.
        leave: What is said to other processes after a look-up, where rows or positions are split.
        enter: What is said to them before :meth:`attend`.
        gather: Makes whole logits of each process's.
    """

    def __init__(
        self, num_embeddings: int, size: int, *, std: float = 0.02, param_dtype: str = "float32", dtype: str = "float32"
    ) -> None:
        super().__init__()
        self.weight = parameter((num_embeddings, size), ("normal", std), param_dtype)
        self.dtype = ms_dtype(dtype)
        self.start: int | None = None
        self.leave: nn.Cell | None = None
        self.enter: nn.Cell | None = None
        self.gather: nn.Cell | None = None

    def construct(self, ids: Tensor) -> Tensor:
        """Return ``(…, size)`` for ids ``(…)``."""
        if self.start is None:
            rows = ops.gather(self.weight, ids, 0)
        else:
            places = ids - self.start
            here = ops.logical_and(places >= 0, places < self.weight.shape[0])
            rows = ops.gather(self.weight, ops.select(here, places, ops.zeros_like(places)), 0)
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
        rows = x.reshape((-1, x.shape[-1]))
        logits = ops.MatMul(transpose_b=True)(ops.cast(rows, self.dtype), ops.cast(self.weight, self.dtype))
        logits = ops.cast(logits, ms_dtype("float32")).reshape(x.shape[:-1] + (self.weight.shape[0],))
        return self.gather(logits) if whole and self.gather is not None else logits


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU in its tanh approximation (Hendrycks and Gimpel, 2016, section 2).

    Written with the sigmoid, since ``(1 + tanh(u)) / 2 = sigmoid(2 u)``: on CPU the fused operator is five times
    slower.
    """
    return x * ops.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))


def gelu_exact(x: Tensor) -> Tensor:
    """GELU with the error function."""
    return x * 0.5 * (1.0 + ops.erf(x * 0.7071067811865476))


def fast_gelu(x: Tensor) -> Tensor:
    """GELU's approximation ``x * sigmoid(1.702 * x)`` (Hendrycks and Gimpel, 2016, section 2).

    What CANN calls FastGelu, ``x / (1 + exp(-1.702 |x|)) * exp(0.851 (x - |x|))``, is the same function; in this form
    nothing becomes NaN in fp16.
    """
    return x * ops.sigmoid(1.702 * x)


def relu(x: Tensor) -> Tensor:
    """Rectifier."""
    return ops.relu(x)


def silu(x: Tensor) -> Tensor:
    """``x * sigmoid(x)``."""
    return x * ops.sigmoid(x)


#: Names that a config's ``hidden_act`` may have.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu_tanh,
    "gelu_exact": gelu_exact,
    "fast_gelu": fast_gelu,
    "relu": relu,
    "silu": silu,
}
