"""Weights in the block formats of GGUF files, against the values that the gguf library gives them."""

import numpy as np
import pytest
from mf_cpu_backend import kernels

from mf_core.nn.decoder_pass import Decoder, Matrix

pytestmark = pytest.mark.skipif(bool(kernels.unavailable()), reason=kernels.unavailable())

gguf = pytest.importorskip("gguf")
OUTPUTS = 37
#: Format -> where the half-precision scales of a block are; None: gguf can quantize to it.
FORMATS = {
    "q8_0": None, "q4_0": None, "q4_1": None, "q5_0": None, "q5_1": None, "q4_k": (0, 2), "q5_k": (0, 2),
    "q6_k": (208,),
}  # fmt: skip


def stored(kind, inner, seed=0):
    """Return a matrix in a format, and its values."""
    from mf_cpu_backend.decoder_structs import BLOCKS

    random, number = np.random.default_rng(seed), gguf.GGMLQuantizationType[kind.upper()]
    scales, (numbers, count) = FORMATS[kind], BLOCKS[kind]
    if scales is None:
        data = gguf.quants.quantize(random.standard_normal((OUTPUTS, inner)).astype(np.float32), number)
    else:  # any bytes are numbers, once the scales are
        blocks = random.integers(0, 256, (OUTPUTS, inner // numbers, count), np.uint8)
        for at in scales:
            some = (random.random(blocks.shape[:2]) / 100).astype(np.float16)
            blocks[:, :, at : at + 2] = some.view(np.uint8).reshape(*blocks.shape[:2], 2)
        data = blocks.reshape(OUTPUTS, -1)
    return Matrix(data, kind, inner, OUTPUTS), gguf.quants.dequantize(data, number)


def run(matrix, ids):
    """Return the embeddings of ids by a matrix, and their products with it."""
    from mf_cpu_backend.decoder_pass import DecoderPass

    count = len(ids)
    decoder = DecoderPass(Decoder(matrix, (), matrix))
    positions = np.arange(count, dtype=np.int32)[None]
    ids = np.array([ids], np.int32)
    return decoder._embed(ids, positions)[0], decoder(ids, positions, positions, [], [], count, count)[0]


@pytest.mark.parametrize("inner", [96, 256, 512])
@pytest.mark.parametrize("kind", FORMATS)
def test_rows_and_products(kind, inner):
    if FORMATS[kind] is not None and inner % 256:
        pytest.skip("the format has blocks of 256 numbers")
    matrix, values = stored(kind, inner)
    for count in (1, 5, 33):
        rows, products = run(matrix, list(range(count)))
        assert np.array_equal(rows, values[:count])  # the same numbers, to the bit
        read = values[:count].astype(np.float64)
        want = read @ values.T.astype(np.float64)
        # Few rows are rounded to 16 bits, in blocks of 32; many are not rounded.
        assert np.abs(products - want).max() <= (5e-5 if count <= 16 else 2e-6) * np.abs(want).max()


@pytest.mark.parametrize("kind", ["q4_1", "q8_0", "q6_k"])
def test_few_rows_are_nearly_as_exact_as_many(kind):
    matrix, _ = stored(kind, 512)
    _, many = run(matrix, list(range(33)))
    for ids in ([3], list(range(7))):
        _, few = run(matrix, ids)
        assert np.abs(few - many[ids]).max() <= 5e-5 * np.abs(many).max()


def test_infinite_and_absent_numbers_go_through():
    matrix, _ = stored("q4_0", 96)
    data = matrix.data.copy()
    data[0, :2] = np.frombuffer(np.float16(np.inf).tobytes(), np.uint8)
    rows, _ = run(Matrix(data, "q4_0", 96, OUTPUTS), [0, 1])
    assert not np.isfinite(rows[0]).all()
    assert np.isfinite(rows[1]).all()
