"""Datasets of images: folders of classes, files that name pictures, and lists.

Shapes: B images, C channels, H and W pixels.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import ArgumentError, DataError, MFError
from ..processing import ImageProcessor
from ..processing.pictures import SUFFIXES, is_url
from ..trainer.recipe import TrainingRecipe
from ..utils.paths import user_path
from .labelled import read_records


class ImageRecipe(TrainingRecipe):
    """Base of recipes whose examples are images.

    Pictures are read when a batch needs them. One that cannot be read ends the run with an error that names it; with
    ``on_bad_record="skip"`` all are read once at the start, and such ones are left out with a warning.
    """

    modalities: ClassVar[tuple[str, ...]] = ("image",)
    unit: ClassVar[str] = "examples"

    @property
    def image_processor(self) -> ImageProcessor:
        """What makes pixel values of pictures."""
        processor = self.processors.get("image_processor")
        if processor is None:
            raise ArgumentError(
                f"{type(self).__name__} needs an image processor",
                hint="pass Trainer(image_processor=AutoImageProcessor.from_pretrained(…))",
            )  # fmt: skip
        found: ImageProcessor = processor
        return found

    def readable(self, records: list[tuple[str, Mapping[str, Any]]], name: str) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the records whose pictures can be read, where bad ones are to be left out; else all."""
        if self.args.on_bad_record != "skip":
            return records
        good, bad = [], []
        for where, record in records:
            try:
                self.image_processor.pixels(record["image"])
                good.append((where, record))
            except MFError as error:
                bad.append(error)
        if bad and not good:
            raise bad[0]
        if bad:
            warnings.warn(f"{name}: {len(bad)} pictures are left out; the first: {bad[0].what}", stacklevel=2)
        return good

    def pixel_values(self, examples: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Return the pixel values of the examples' pictures, ``(B, C, H, W)`` fp32."""
        arrays = []
        for example in examples:
            try:
                arrays.append(self.image_processor.pixels(example["image"]))
            except MFError as error:
                raise DataError(f"{example['where']}: {error.what}", value=example["where"], why=error.why) from error
        return np.stack(arrays)

    def tokens(self, batch: tuple[np.ndarray, ...]) -> int:
        """See the base class."""
        return int(len(batch[0]) * self.model.max_positions)


def image_records(
    dataset: Any, name: str, fields: Sequence[str], on_bad_record: str = "error"
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the records of a dataset of images, each with where it is.

    Args:
        dataset: A folder with a folder of pictures for each class, or, where no label is needed, with pictures; or
            what :func:`mf_core.data.open_records` reads, with the fields. Names of pictures in a file are relative to
            its folder.
        name: The dataset's name in messages.
        fields: ``image``, and ``label`` where records need one.
        on_bad_record: See :class:`mf_core.TrainingArguments`.

    Raises:
        DataError: There are no pictures, or a record lacks a field.
    """
    base: Path | None = None
    if isinstance(dataset, (str, Path)):
        base = user_path(dataset)
        if base.is_dir():
            found = _pictures_of(base, labelled="label" in fields)
            if found:
                return found
        else:
            base = base.parent
    records = read_records(dataset, name, fields, (), on_bad_record)
    return [(where, {**record, "image": _located(record["image"], base)}) for where, record in records]


def class_names(dataset: Any) -> list[str] | None:
    """Return the classes of a folder that has a folder of pictures for each; None for another dataset."""
    if not isinstance(dataset, (str, Path)) or not user_path(dataset).is_dir():
        return None
    found = {record["label"] for _, record in _pictures_of(user_path(dataset), labelled=True)}
    return sorted(found) or None


def _pictures_of(folder: Path, *, labelled: bool) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the pictures under a folder, in the order of their names; labelled ones are in folders of it."""
    files = sorted(
        path for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )  # fmt: skip
    inside = [path for path in files if path.parent != folder]
    if labelled and inside and len(inside) < len(files):
        raise DataError(
            f"{folder} has {len(files) - len(inside)} pictures beside the folders of its classes", value=str(folder),
            hint="move each into the folder of its class",
        )  # fmt: skip
    chosen = inside if labelled else files
    return [(str(path), {"image": path, "label": path.relative_to(folder).parts[0]}) for path in chosen]


def _located(image: Any, base: Path | None) -> Any:
    if base is None or not isinstance(image, str) or is_url(image):
        return image
    return base / user_path(image)
