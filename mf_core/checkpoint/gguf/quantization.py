"""How numbers are stored in GGUF files: the types of tensors, and their values as fp32.

The ``gguf`` library knows the types' sizes and dequantizes them; it is imported when a file is read.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import NotInstalledError, UnsupportedError


@dataclass(frozen=True)
class TensorKind:
    """A type that tensors are stored in.

    Attributes:
        name: ``"Q4_K"``.
        number: Its number in files.
        block: How many neighbouring numbers of a row are stored together.
        block_bytes: How many bytes a block takes.
    """

    name: str
    number: int
    block: int
    block_bytes: int

    def nbytes(self, shape: tuple[int, ...]) -> int:
        """Return how many bytes a tensor takes."""
        return math.prod(shape) // self.block * self.block_bytes


#: Types whose bytes are numbers that numpy has.
_PLAIN = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I8": np.int8, "I16": np.int16, "I32": np.int32,
          "I64": np.int64}  # fmt: skip


def library() -> Any:
    """Return the ``gguf`` library.

    Raises:
        NotInstalledError: It is not installed.
    """
    try:
        import gguf
    except ImportError as error:
        raise NotInstalledError(
            "GGUF files are read with the package gguf, which is not installed", value="gguf", hint="pip install gguf"
        ) from error
    return gguf


@functools.cache
def _kinds() -> dict[int, TensorKind]:
    gguf = library()
    return {int(kind): TensorKind(kind.name, int(kind), *sizes) for kind, sizes in gguf.GGML_QUANT_SIZES.items()}


def kind_of(number: int) -> TensorKind | None:
    """Return the type of a number in a file; None for an unknown one."""
    return _kinds().get(number)


def dequantize(data: np.ndarray, kind: TensorKind, shape: tuple[int, ...]) -> np.ndarray:
    """Return a tensor's values.

    Args:
        data: Its bytes, uint8.
        kind: How they are stored.
        shape: Of the tensor.

    Returns:
        Of ``shape``: fp32 of quantized types and bfloat16, otherwise of the type of the file; a view where it can be.

    Raises:
        UnsupportedError: The type is known, but the library does not dequantize it.
    """
    if kind.name in _PLAIN:
        return data.view(_PLAIN[kind.name]).reshape(shape)
    if kind.name == "BF16":
        return (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
    gguf = library()
    try:
        rows = data.reshape(-1, shape[-1] // kind.block * kind.block_bytes)
        values: np.ndarray = gguf.quants.dequantize(rows, gguf.GGMLQuantizationType(kind.number))
    except NotImplementedError as error:
        raise UnsupportedError(f"weights of the GGUF type {kind.name} are not read", value=kind.name) from error
    return values.reshape(shape)
