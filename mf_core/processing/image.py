"""Image processors: pictures to the pixel values that a vision model takes, by ``preprocessor_config.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np

from ..boundary import public
from ..checkpoint.locate import Checkpoint
from ..errors import ArgumentError, DataError, FileMissingError, UnsupportedError, check_options
from ..tokenization.files import read_json
from ..utils.commit import replace_files
from ..utils.files import write_json
from .base import PROCESSOR_CONFIG_FILE, PretrainedProcessor
from .pictures import MAX_PIXELS, read_picture

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

I = TypeVar("I", bound="ImageProcessor")  # noqa: E741

#: Keys of the file that say how it was written, or what is so here always.
_NEUTRAL = frozenset({
    "image_processor_type", "feature_extractor_type", "processor_class", "do_convert_rgb", "default_to_square",
    "return_tensors", "disable_grouping", "device", "input_data_format", "data_format",
})  # fmt: skip
#: File of a processor of several modalities, which has the image processor's settings under a key.
_JOINT_FILE = "processor_config.json"


class ImageProcessor(PretrainedProcessor):
    """Resizes, crops, rescales and normalises pictures, in this order.

    A picture is first converted to as many channels as ``image_mean`` has: 3 (RGB) or 1 (grey); see
    :func:`mf_core.processing.read_picture`. Families' subclasses change the defaults.

    Args:
        do_resize: Whether pictures are resized.
        size: ``{"height": H, "width": W}``, or ``{"shortest_edge": N}``, which keeps the proportions; a number means
            the one of them that the family's default is.
        resample: Filter of the resizing, as Pillow numbers it: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box,
            5 Hamming.
        do_center_crop: Whether the middle is cut out; what is smaller is padded with black.
        crop_size: ``{"height": H, "width": W}``, or a number for a square.
        do_rescale: Whether pixels are multiplied by ``rescale_factor``.
        rescale_factor: By default 1/255.
        do_normalize: Whether ``image_mean`` is subtracted and the result divided by ``image_std``.
        image_mean, image_std: A number for each channel, or one for all.
        return_tensors: ``"ms"``, ``"np"`` or None for lists.

    Raises:
        ArgumentError: A setting has another form.
    """

    options: ClassVar[tuple[str, ...]] = (
        "do_resize", "size", "resample", "do_center_crop", "crop_size", "do_rescale", "rescale_factor", "do_normalize",
        "image_mean", "image_std", "return_tensors",
    )  # fmt: skip
    #: Settings where neither the caller nor the file has one.
    defaults: ClassVar[Mapping[str, Any]] = {
        "do_resize": True, "size": {"height": 224, "width": 224}, "resample": 2, "do_center_crop": False,
        "crop_size": None, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    }  # fmt: skip

    do_resize: bool
    do_center_crop: bool
    do_rescale: bool
    do_normalize: bool

    def __init__(self, *, return_tensors: Literal["np", "ms"] | None = "ms", **settings: Any) -> None:
        check_options(settings, self.options, type(self).__name__)
        if return_tensors not in (None, "np", "ms"):
            raise ArgumentError(
                f"return_tensors={return_tensors!r} is not one of None, 'np', 'ms'", value=return_tensors
            )
        given = {**self.defaults, **{name: value for name, value in settings.items() if value is not None}}
        self.return_tensors = return_tensors
        for name in ("do_resize", "do_center_crop", "do_rescale", "do_normalize"):
            if not isinstance(given[name], bool):
                raise ArgumentError(f"{name}={given[name]!r} is neither True nor False", value=given[name])
            setattr(self, name, given[name])
        self.size = _size("size", given["size"], square="shortest_edge" not in self.defaults["size"])
        self.crop_size = _size("crop_size", given["crop_size"]) if given["crop_size"] is not None else None
        if self.do_center_crop and (self.crop_size is None or "shortest_edge" in self.crop_size):
            raise ArgumentError("do_center_crop=True needs crop_size with a height and a width", value=self.crop_size)
        if given["resample"] not in range(6) or isinstance(given["resample"], bool):
            raise ArgumentError(f"resample={given['resample']!r} is not a number from 0 to 5", value=given["resample"])
        self.resample = int(given["resample"])
        self.rescale_factor = _numbers("rescale_factor", [given["rescale_factor"]])[0]
        self.image_mean, self.image_std = (
            _numbers(name, given[name] if isinstance(given[name], Sequence) else [given[name]] * 3)
            for name in ("image_mean", "image_std")
        )
        if len(self.image_mean) not in (1, 3) or len(self.image_std) != len(self.image_mean) or 0 in self.image_std:
            raise ArgumentError(
                f"image_mean={self.image_mean} and image_std={self.image_std} do not fit pictures of 1 or 3 channels",
                value=self.image_std,
            )
        self.extra: dict[str, Any] = {}
        self._given = frozenset(settings)

    @property
    def channels(self) -> int:
        """Channels of the pixel values: 1 or 3."""
        return len(self.image_mean)

    def __call__(self, images: Any, *, allow_remote: bool = False) -> dict[str, Any]:
        """Return ``{"pixel_values": (n, C, H, W)}`` fp32, of one picture (n = 1) or a list of them.

        Args:
            images: See :func:`mf_core.processing.read_picture`.
            allow_remote: Whether addresses may be downloaded.

        Raises:
            DataError, FileMissingError: A picture cannot be read, or pictures have different sizes and are not resized
                to one.
        """
        items = images if isinstance(images, (list, tuple)) else [images]
        if not items:
            raise ArgumentError(f"{type(self).__name__} was given an empty list", value=images)
        arrays = [self.pixels(item, allow_remote=allow_remote) for item in items]
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1:
            raise DataError(
                f"pictures of different sizes make no batch: {', '.join(map(str, sorted(shapes)))}", value=shapes,
                hint="set size to a height and a width, or do_center_crop=True",
            )  # fmt: skip
        batch = np.stack(arrays)
        if self.return_tensors is None:
            return {"pixel_values": batch.tolist()}
        if self.return_tensors == "np":
            return {"pixel_values": batch}
        from mindspore import Tensor

        return {"pixel_values": Tensor(batch)}

    def pixels(self, image: Any, *, allow_remote: bool = False) -> np.ndarray:
        """Return the pixel values of one picture, ``(C, H, W)`` fp32."""
        picture = read_picture(image, "RGB" if self.channels == 3 else "L", allow_remote=allow_remote)
        array = np.asarray(self._resized(picture) if self.do_resize else picture)
        values = np.moveaxis(array if array.ndim == 3 else array[:, :, None], -1, 0)
        if self.do_center_crop and self.crop_size is not None:
            values = center_crop(values, self.crop_size["height"], self.crop_size["width"])
        if self.do_rescale:
            values = (values.astype(np.float64) * self.rescale_factor).astype(np.float32)
        values = values.astype(np.float32)
        if self.do_normalize:
            mean, std = (np.array(each, np.float32)[:, None, None] for each in (self.image_mean, self.image_std))
            values = (values - mean) / std
        return np.ascontiguousarray(values)

    def picture(self, pixels: np.ndarray) -> Picture:
        """Return the picture of pixel values ``(C, H, W)``: the inverse of rescaling and normalising, cut to 0 to 255.
        """
        from .pictures import pillow

        values = pixels.astype(np.float64)
        if self.do_normalize:
            values = values * np.array(self.image_std)[:, None, None] + np.array(self.image_mean)[:, None, None]
        if self.do_rescale:
            values = values / self.rescale_factor
        whole = np.rint(values).clip(0, 255).astype(np.uint8)
        return pillow().fromarray(np.moveaxis(whole, 0, -1) if self.channels == 3 else whole[0])  # type: ignore[no-any-return]

    def _resized(self, picture: Picture) -> Picture:
        width, height = picture.size
        if "shortest_edge" in self.size:
            edge = self.size["shortest_edge"]
            long = int(edge * max(width, height) / min(width, height))
            size = (edge, long) if width <= height else (long, edge)
        else:
            size = (self.size["width"], self.size["height"])
        if size[0] * size[1] > MAX_PIXELS:
            raise DataError(
                f"a picture of {width} x {height} pixels would have {size[0]} x {size[1]} with the shorter edge resized"
                f" to {self.size.get('shortest_edge')}", value=picture.size, why=f"the limit is {MAX_PIXELS:,} pixels",
            )  # fmt: skip
        return picture.resize(size, self.resample)

    @classmethod
    @public
    def from_checkpoint(cls: type[I], checkpoint: Checkpoint, **options: Any) -> I:
        """Return the image processor of a checkpoint that has been located.

        Raises:
            FileMissingError: It has no ``preprocessor_config.json``.
            UnsupportedError: The file asks for a step that there is not.
        """
        check_options(options, cls.options, cls.__name__, "option")
        source = checkpoint.weights or checkpoint.tokenizer
        saved: Mapping[str, Any] = {} if source is None else read_json(source, PROCESSOR_CONFIG_FILE)
        if not saved and source is not None:
            saved = read_json(source, _JOINT_FILE).get("image_processor") or {}
        if not saved:
            raise FileMissingError(
                f"{checkpoint.name!r} has no {PROCESSOR_CONFIG_FILE}", value=checkpoint.name,
                hint=f"{cls.__name__}(size=…).save_pretrained(directory) writes one",
            )  # fmt: skip
        return cls.from_dict(saved, **options)

    @classmethod
    def from_dict(cls: type[I], saved: Mapping[str, Any], **options: Any) -> I:
        """Return the processor of a file's contents; options of the constructor go before them."""
        for name, value in saved.items():
            if name not in cls.options and name not in _NEUTRAL and value not in (None, False):
                raise UnsupportedError(
                    f"{PROCESSOR_CONFIG_FILE} has {name}={value!r:.60}, which {cls.__name__} does not do", value=value
                )
        kept = {name: saved[name] for name in cls.options if name in saved and name != "return_tensors"}
        processor = cls(**{**kept, **options})
        processor.extra = {name: value for name, value in saved.items() if name not in cls.options}
        return processor

    def to_dict(self) -> dict[str, Any]:
        """Return what ``preprocessor_config.json`` has of this processor."""
        names = [name for name in self.options if name != "return_tensors" and getattr(self, name) is not None]
        if not self.do_center_crop and "do_center_crop" not in self._given:
            names.remove("do_center_crop")
        settings = {name: getattr(self, name) for name in names}
        return {"image_processor_type": type(self).__name__, **self.extra, **settings}

    @public
    def save_pretrained(self, directory: str | Path) -> None:
        """Write ``preprocessor_config.json`` into ``directory``, created if missing."""
        with replace_files(directory) as staging:
            write_json(staging / PROCESSOR_CONFIG_FILE, self.to_dict())


def center_crop(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the middle of ``(C, H, W)``, ``(C, height, width)``; where the picture is smaller, 0 is around it."""
    for axis, wanted in ((1, height), (2, width)):
        have = values.shape[axis]
        before = ceil((wanted - have) / 2) if wanted > have else 0
        if before or wanted > have:
            padding = [(0, 0)] * 3
            padding[axis] = (before, wanted - have - before)
            values = np.pad(values, padding)
        else:
            start = (have - wanted) // 2
            values = values.take(range(start, start + wanted), axis)
    return values


def _size(name: str, value: Any, *, square: bool = True) -> dict[str, int]:
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"height": value, "width": value} if square else {"shortest_edge": value}
    if isinstance(value, (list, tuple)) and len(value) == 2:
        value = {"height": value[0], "width": value[1]}
    if isinstance(value, Mapping):
        given = {key: number for key, number in value.items() if number is not None}
        fits = set(given) in ({"height", "width"}, {"shortest_edge"})
        if fits and all(isinstance(n, int) and not isinstance(n, bool) and 0 < n <= 65536 for n in given.values()):
            return given
    raise ArgumentError(
        f"{name}={value!r:.80} is neither {{'height': …, 'width': …}} nor {{'shortest_edge': …}}", value=value
    )


def _numbers(name: str, values: Sequence[Any]) -> list[float]:
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) and np.isfinite(v) for v in values):
        raise ArgumentError(f"{name}={values!r:.80} are not numbers", value=values)
    return [float(value) for value in values]
