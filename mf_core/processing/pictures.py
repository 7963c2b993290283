"""Reading pictures: files, bytes, Pillow's objects and arrays, as RGB or grey pictures of 8 bits.

Pillow is imported when a picture is read: ``pip install 'mf-framework[vision]'``.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import ArgumentTypeError, DataError, FileMissingError, NotInstalledError, UnsupportedError, describe
from ..utils.callers import callers_level
from ..utils.paths import user_path

if TYPE_CHECKING:
    from types import ModuleType

    from PIL.Image import Image as Picture

Mode = Literal["RGB", "L"]

#: Formats that are read. Others that Pillow knows run programs (EPS) or are no pictures.
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
#: Endings of the names of such files.
SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".ico", ".jpeg", ".jpg", ".jp2", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
#: Most pixels of a picture that is read, and of one that is made by resizing.
MAX_PIXELS = 89_478_485
#: Most bytes of a picture that is downloaded.
_MAX_DOWNLOAD = 50 * 1024 * 1024


def pillow() -> ModuleType:
    """Return the module ``PIL.Image``; raise NotInstalledError without it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise NotInstalledError(
            "pictures need Pillow, which is not installed", why=describe(error),
            hint="pip install 'mf-framework[vision]'",
        ) from error  # fmt: skip
    return Image


def is_url(source: Any) -> bool:
    """Return whether a source is the address of a picture on the network."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def read_picture(source: Any, mode: Mode = "RGB", *, allow_remote: bool = False) -> Picture:
    """Return a picture as Pillow has it.

    A picture is turned as its EXIF orientation says, transparent parts become white, 16-bit grey values become 8-bit
    ones, and of an animation the first frame is taken, with a warning.

    Args:
        source: A path, the bytes of a file, a Pillow image, or an array ``(H, W)``, ``(H, W, C)`` or ``(C, H, W)`` with
            C 1, 3 or 4: uint8, or floating-point numbers from 0 to 1. An address is read with ``allow_remote`` only.
        mode: ``"RGB"``, or ``"L"`` for one channel.
        allow_remote: Whether addresses may be downloaded.

    Raises:
        ArgumentTypeError: It is none of these.
        FileMissingError: There is no such file.
        DataError: It is no picture, is damaged, or has more than :data:`MAX_PIXELS` pixels.
        UnsupportedError: It is an address without ``allow_remote``, or has pixels of a kind that has no fixed range.
        NotInstalledError: Pillow is missing.
    """
    image, name = pillow(), _name_of(source)
    if isinstance(source, image.Image):
        picture = source
    elif isinstance(source, np.ndarray):
        picture = image.fromarray(_bytes_of_array(source))
    elif is_url(source):
        if not allow_remote:
            raise UnsupportedError(
                f"{name} is an address, and nothing is downloaded unless it is asked for", value=source,
                hint="allow_remote=True downloads pictures",
            )  # fmt: skip
        picture = _open(io.BytesIO(_download(source)), name)
    elif isinstance(source, (bytes, bytearray)):
        picture = _open(io.BytesIO(source), name)
    elif isinstance(source, (str, os.PathLike)):
        picture = _open_file(user_path(source), name)
    else:
        raise ArgumentTypeError(
            f"a picture is a path, bytes, a Pillow image or an array, not {type(source).__name__}", value=source
        )
    _check_pixels(picture.size, name)
    if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
        warnings.warn(
            f"{name} has {picture.n_frames} frames; the first is used", stacklevel=callers_level()
        )
        picture.seek(0)
    try:
        return _converted(picture, mode, name)
    except (UnsupportedError, DataError):
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError and others
        raise _damaged(name, error) from error


def _name_of(source: Any) -> str:
    """Return what messages call a picture."""
    if isinstance(source, (str, os.PathLike)):
        return f"{os.fspath(source)!s:.200}"
    name = getattr(source, "filename", "")
    return name if isinstance(name, str) and name else "the picture"


def _open_file(path: Path, name: str) -> Picture:
    if not path.is_file():
        raise FileMissingError(
            f"there is no picture {name}", value=str(path), why="it is a folder" if path.is_dir() else None
        )
    return _open(path, name)


def _open(file: Any, name: str) -> Picture:
    image = pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", image.DecompressionBombWarning)  # the size is checked by the caller
            image.init()  # first: Pillow opens formats that are named and not yet loaded with a KeyError
            picture: Picture = image.open(file, formats=[name for name in FORMATS if name in image.OPEN])
            return picture
    except image.DecompressionBombError as error:
        raise DataError(f"{name} is too large", value=name, why=str(error)) from error
    except Exception as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> DataError:
    return DataError(
        f"{name} is not a picture that can be read", value=name, why=describe(error),
        hint=f"the formats are {', '.join(FORMATS)}; a damaged file has to be fetched again",
    )  # fmt: skip


def _check_pixels(size: tuple[int, int], name: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{name} has {width} x {height} pixels, and the limit is {MAX_PIXELS:,}", value=size,
            hint="make it smaller with an image editor first",
        )  # fmt: skip
    if not width * height:
        raise DataError(f"{name} has no pixels", value=size)


def _converted(picture: Picture, mode: Mode, name: str) -> Picture:
    """Return a picture that has been decoded, turned upright, and has the mode."""
    from PIL import ImageOps

    image = pillow()
    turned = ImageOps.exif_transpose(picture)
    if turned.mode.startswith("I;16") or turned.mode == "I":
        turned = image.fromarray(_grey_of_16_bits(np.asarray(turned), name))
    elif turned.mode == "F":
        raise UnsupportedError(
            f"{name} has floating-point pixels, which have no fixed range", value=turned.mode,
            hint="give an array of numbers from 0 to 1, or save it with 8 bits",
        )  # fmt: skip
    if "A" in turned.getbands() or turned.info.get("transparency") is not None:
        turned = turned.convert("RGBA")
        turned = image.alpha_composite(image.new("RGBA", turned.size, (255, 255, 255, 255)), turned)
    return turned if turned.mode == mode and turned is not picture else turned.convert(mode)


def _grey_of_16_bits(values: np.ndarray, name: str) -> np.ndarray:
    if values.min() < 0 or values.max() > 65535:
        raise UnsupportedError(
            f"{name} has pixels of 32 bits, which have no fixed range", value=int(values.max()),
            hint="save it with 8 or 16 bits",
        )  # fmt: skip
    found: np.ndarray = np.rint(values.astype(np.float64) / 257).astype(np.uint8)
    return found


def _bytes_of_array(array: np.ndarray) -> np.ndarray:
    """Return an array as uint8, ``(H, W)`` or ``(H, W, 3 or 4)``."""
    if array.ndim == 3 and array.shape[-1] not in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (1, 3, 4)) or not array.size:
        raise DataError(
            f"an array of the shape {array.shape} is no picture", value=array.shape,
            hint="it is (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels",
        )  # fmt: skip
    if np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise DataError(
                "an array of floating-point numbers is a picture if they are from 0 to 1", value=str(array.dtype),
                hint="array.astype('uint8') makes one of numbers from 0 to 255",
            )  # fmt: skip
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype != np.uint8:
        if not np.issubdtype(array.dtype, np.integer) or array.min() < 0 or array.max() > 255:
            raise DataError(
                f"an array of {array.dtype} is a picture if its numbers are from 0 to 255", value=str(array.dtype)
            )
        array = array.astype(np.uint8)
    return np.ascontiguousarray(array[:, :, 0] if array.ndim == 3 and array.shape[-1] == 1 else array)


def _download(address: str) -> bytes:
    from urllib.request import Request, urlopen

    from ..errors import DownloadError

    try:
        with urlopen(Request(address, headers={"User-Agent": "mf-framework"}), timeout=30) as answer:
            data: bytes = answer.read(_MAX_DOWNLOAD + 1)
    except (OSError, ValueError) as error:
        raise DownloadError(f"{address} could not be downloaded", value=address, why=describe(error)) from error
    if len(data) > _MAX_DOWNLOAD:
        raise DataError(f"{address} has more than {_MAX_DOWNLOAD:,} bytes", value=address)
    return data
