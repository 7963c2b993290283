"""Pictures of every kind are read right, or refused with one clear error."""

import io
import struct
import zlib

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

from mf_core.errors import ArgumentTypeError, DataError, FileMissingError, UnsupportedError  # noqa: E402
from mf_core.processing import ImageProcessor, read_picture  # noqa: E402

RED = np.zeros((6, 8, 3), np.uint8)
RED[:, :, 0] = 200


def encoded(picture, form, **options):
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def png_header(width, height):
    """Return a PNG file that says it is large and has no pixels."""
    chunks = b""
    for body in (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"")):
        chunks += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP"])
def test_formats(form, tmp_path):
    options = {"lossless": True} if form == "WEBP" else {}
    data = encoded(Image.fromarray(RED), form, **options)
    (tmp_path / "red").write_bytes(data)
    for source in (data, tmp_path / "red", str(tmp_path / "red"), Image.fromarray(RED), RED, RED.transpose(2, 0, 1),
                   RED.astype(np.float32) / 255):  # fmt: skip
        assert np.array_equal(np.asarray(read_picture(source)), RED)


def test_modes():
    red = Image.fromarray(RED)
    for picture in (red.convert("P", palette=Image.Palette.ADAPTIVE), red.convert("RGBA"), red.convert("CMYK")):
        read = np.asarray(read_picture(encoded(picture, "TIFF")))
        assert read.shape == RED.shape
        assert np.abs(read.astype(int) - RED).max() <= 1
    grey = read_picture(np.full((3, 4), 7, np.uint8))
    assert grey.mode == "RGB"
    assert np.unique(np.asarray(grey)).tolist() == [7]
    assert read_picture(RED, "L").mode == "L"


def test_transparent_parts_become_white():
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[:2] = (10, 20, 30, 255)
    read = np.asarray(read_picture(encoded(Image.fromarray(clear), "PNG")))
    assert read[0, 0].tolist() == [10, 20, 30]
    assert read[3, 3].tolist() == [255, 255, 255]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    palette.putpalette([1, 2, 3, 4, 5, 6])
    read = np.asarray(read_picture(encoded(palette, "PNG", transparency=1)))
    assert read[0].tolist() == [[1, 2, 3], [255, 255, 255]]


def test_16_bits_keep_their_range():
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    read = np.asarray(read_picture(encoded(Image.fromarray(values), "PNG")))
    assert read[0, :, 0].tolist() == [0, 1, 128, 255]
    with pytest.raises(UnsupportedError, match="floating-point pixels"):
        read_picture(Image.fromarray(np.ones((2, 2), np.float32)))
    with pytest.raises(UnsupportedError, match="32 bits"):
        read_picture(Image.fromarray(np.full((2, 2), 70000, np.int32)))


def test_exif_turns():
    picture = Image.fromarray(np.repeat(RED[:, :, :], 1, 0))
    exif = picture.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    assert read_picture(encoded(picture, "JPEG", exif=exif)).size == (6, 8)


def test_animations_give_their_first_frame_with_a_warning():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue", "green")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match="3 frames; the first is used"):
        read = read_picture(data)
    assert np.asarray(read)[0, 0].tolist() == [255, 0, 0]


def test_bad_pictures(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    for form in ("PNG", "JPEG", "GIF"):
        data = encoded(Image.fromarray(noise), form)
        (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
        with pytest.raises(DataError, match=r"half\.png is not a picture that can be read"):
            read_picture(tmp_path / "half.png")
    for data in (b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"):
        with pytest.raises(DataError, match="is not a picture"):
            read_picture(data)
    for side in (10_000, 100_000):
        with pytest.raises(DataError, match=r"limit|too large"):
            read_picture(png_header(side, side))
    with pytest.raises(FileMissingError, match="there is no picture"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(FileMissingError) as caught:
        read_picture(tmp_path)
    assert caught.value.why == "it is a folder"
    with pytest.raises(UnsupportedError, match="nothing is downloaded"):
        read_picture("https://example.org/a.png")
    for wrong in (None, 3, [RED]):
        with pytest.raises(ArgumentTypeError, match="a picture is a path"):
            read_picture(wrong)


def test_bad_arrays():
    for wrong, words in (
        (np.zeros((2, 2, 5), np.uint8), "shape"), (np.zeros((0, 3), np.uint8), "shape"),
        (np.full((2, 2), 300), "from 0 to 255"), (np.full((2, 2), 1.5), "from 0 to 1"),
        (np.full((2, 2), np.nan), "from 0 to 1"), (np.zeros((2, 2), complex), "from 0 to 255"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=words):
            read_picture(wrong)


def test_a_pixel_and_a_line():
    process = ImageProcessor(size={"shortest_edge": 8}, do_center_crop=True, crop_size=8, return_tensors="np")
    assert process(np.full((1, 1, 3), 255, np.uint8))["pixel_values"].min() == 1
    with pytest.raises(DataError, match="the limit"):
        process(np.zeros((1, 3_000_000), np.uint8))
