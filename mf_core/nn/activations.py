"""Activations, each from its own operators, by the names that ``transformers`` gives them."""

from __future__ import annotations

from typing import ClassVar

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from .kernels import kernel
from .operators import Operators


class _Activation(nn.Cell):
    """A function of each element, made of operators on pairs of tensors and on a tensor and a number."""

    operators: ClassVar[Operators] = {
        "multiply": ("rows - features", "rows - features"),
        "add": ("rows - features", "rows - features"),
        "scale": ("rows - features", ""),
        "shift": ("", "rows - features"),
        "function": ("rows - features",),
    }


class GeluTanh(_Activation):
    """GELU in its tanh approximation (Hendrycks and Gimpel, 2016, section 2).

    Written with the sigmoid, since ``(1 + tanh(u)) / 2 = sigmoid(2 u)``: MindSpore's own operator is five times slower
    on CPU.

    Attributes:
        by_compiler: Whether MindSpore's parallel compiler splits the operators.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.by_compiler = kernel("gelu"), False
        self.multiply, self.add, self.scale, self.function = ops.Mul(), ops.Add(), ops.Mul(), ops.Sigmoid()

    def construct(self, x: Tensor) -> Tensor:
        """Return ``x * sigmoid(1.596 * (x + 0.0447 * x * x * x))``."""
        if self.kernel is not None and x.dtype == mstype.float32 and not self.by_compiler:
            return self.kernel(x)
        cube = self.multiply(self.multiply(self.scale(x, 0.044715), x), x)
        return self.multiply(x, self.function(self.scale(self.add(x, cube), 1.5957691216057308)))


class GeluExact(_Activation):
    """GELU with the error function."""

    def __init__(self) -> None:
        super().__init__()
        self.multiply, self.shift, self.scale, self.function = ops.Mul(), ops.Add(), ops.Mul(), ops.Erf()

    def construct(self, x: Tensor) -> Tensor:
        """Return ``x / 2 * (1 + erf(x / sqrt(2)))``."""
        return self.multiply(self.scale(x, 0.5), self.shift(1.0, self.function(self.scale(x, 0.7071067811865476))))


class _Swish(_Activation):
    """``x * sigmoid(beta * x)`` (Ramachandran et al., 2017)."""

    beta: ClassVar[float]

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.by_compiler = kernel("swish"), False
        self.multiply, self.scale, self.function = ops.Mul(), ops.Mul(), ops.Sigmoid()

    def construct(self, x: Tensor) -> Tensor:
        """Return ``x * sigmoid(beta * x)``."""
        if self.kernel is not None and x.dtype == mstype.float32 and not self.by_compiler:
            return self.kernel(x, self.beta)
        return self.multiply(x, self.function(x if self.beta == 1 else self.scale(x, self.beta)))


class FastGelu(_Swish):
    """GELU's approximation ``x * sigmoid(1.702 * x)`` (Hendrycks and Gimpel, 2016, section 2).

    What CANN calls FastGelu, ``x / (1 + exp(-1.702 |x|)) * exp(0.851 (x - |x|))``, is the same function; in this form
    nothing becomes NaN in fp16.
    """

    beta: ClassVar[float] = 1.702


class Silu(_Swish):
    """``x * sigmoid(x)``."""

    beta: ClassVar[float] = 1.0


class Relu(_Activation):
    """Rectifier."""

    def __init__(self) -> None:
        super().__init__()
        self.function = ops.ReLU()

    def construct(self, x: Tensor) -> Tensor:
        """Return ``max(x, 0)``."""
        return self.function(x)


class Relu2(_Activation):
    """Squared rectifier (So et al., 2021, "Primer")."""

    def __init__(self) -> None:
        super().__init__()
        self.function, self.multiply = ops.ReLU(), ops.Mul()

    def construct(self, x: Tensor) -> Tensor:
        """Return ``max(x, 0) ** 2``."""
        y = self.function(x)
        return self.multiply(y, y)


class Relu6(_Activation):
    """Rectifier that is cut at 6."""

    def __init__(self) -> None:
        super().__init__()
        self.function = ops.ReLU6()

    def construct(self, x: Tensor) -> Tensor:
        """Return ``min(max(x, 0), 6)``."""
        return self.function(x)


class Tanh(_Activation):
    """Hyperbolic tangent, by the sigmoid: MindSpore's own operator on CPU is off by 1e-4."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.function, self.shift = ops.Mul(), ops.Sigmoid(), ops.Add()

    def construct(self, x: Tensor) -> Tensor:
        """Return ``2 * sigmoid(2 * x) - 1``."""
        return self.shift(-1.0, self.scale(self.function(self.scale(x, 2.0)), 2.0))


class Mish(_Activation):
    """``x * tanh(softplus(x))`` (Misra, 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.function, self.outer, self.multiply = ops.Softplus(), Tanh(), ops.Mul()

    def construct(self, x: Tensor) -> Tensor:
        """Return ``x * tanh(log(1 + exp(x)))``."""
        return self.multiply(x, self.outer(self.function(x)))


class Sigmoid(_Activation):
    """Logistic function."""

    def __init__(self) -> None:
        super().__init__()
        self.function = ops.Sigmoid()

    def construct(self, x: Tensor) -> Tensor:
        """Return ``1 / (1 + exp(-x))``."""
        return self.function(x)


class Linear(_Activation):
    """The identity."""

    def construct(self, x: Tensor) -> Tensor:
        """Return ``x``."""
        return x


#: Name -> class. The names and what they mean are those of ``transformers``: ``gelu`` is the exact GELU, ``gelu_new``
#: its tanh approximation. :attr:`mf_core.PretrainedConfig.activation_name` is a configuration's name in this table.
ACTIVATIONS: dict[str, type[nn.Cell]] = {
    "gelu": GeluExact,
    "gelu_python": GeluExact,
    "gelu_new": GeluTanh,
    "gelu_pytorch_tanh": GeluTanh,
    "gelu_python_tanh": GeluTanh,
    "gelu_fast": GeluTanh,
    "gelu_accurate": GeluTanh,
    "quick_gelu": FastGelu,
    "linear": Linear,
    "mish": Mish,
    "relu": Relu,
    "relu2": Relu2,
    "relu6": Relu6,
    "sigmoid": Sigmoid,
    "silu": Silu,
    "swish": Silu,
    "tanh": Tanh,
}
