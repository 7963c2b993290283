"""Image processors: their settings, files and batches."""

import json

import numpy as np
import pytest

pytest.importorskip("PIL")

from mf_core.errors import ArgumentError, DataError, UnsupportedError
from mf_core.processing import ImageProcessor

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)


def test_steps():
    values = ImageProcessor(size=8, return_tensors="np")([PICTURE, PICTURE[:, :9]])["pixel_values"]
    assert values.shape == (2, 3, 8, 8)
    assert values.dtype == np.float32
    assert values.min() >= -1
    assert values.max() <= 1
    plain = ImageProcessor(do_resize=False, do_normalize=False, do_rescale=False, return_tensors="np")
    assert np.array_equal(plain(PICTURE)["pixel_values"][0], PICTURE.transpose(2, 0, 1))
    grey = ImageProcessor(size=8, image_mean=[0.5], image_std=[0.5], return_tensors="np")
    assert grey(PICTURE)["pixel_values"].shape == (1, 1, 8, 8)
    tensor = ImageProcessor(size=8)(PICTURE)["pixel_values"]
    assert str(tensor.dtype) == "Float32"
    with pytest.raises(DataError, match="different sizes"):
        plain([PICTURE, PICTURE[:, :9]])


def test_pixel_values_become_a_picture_again():
    processor = ImageProcessor(do_resize=False, image_mean=[0.48, 0.45, 0.4], image_std=[0.27, 0.26, 0.28])
    assert np.array_equal(np.asarray(processor.picture(processor.pixels(PICTURE))), PICTURE)


def test_bad_settings():
    for settings, words in (
        ({"size": {"height": 3}}, "size="), ({"size": "big"}, "size="), ({"size": 0}, "size="),
        ({"do_center_crop": True}, "needs crop_size"), ({"resample": 9}, "resample=9"),
        ({"image_mean": [1, 2]}, "do not fit"), ({"image_std": 0}, "do not fit"), ({"do_resize": "yes"}, "do_resize"),
        ({"sise": 3}, "no argument 'sise'"), ({"return_tensors": "pt"}, "return_tensors"),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=words):
            ImageProcessor(**settings)
    with pytest.raises(ArgumentError, match="empty list"):
        ImageProcessor()([])


def test_files_keep_what_they_had(tmp_path):
    saved = {"image_processor_type": "ViTImageProcessor", "do_convert_rgb": None, "size": {"height": 9, "width": 7},
             "image_mean": [0.1, 0.2, 0.3], "resample": 3}  # fmt: skip
    processor = ImageProcessor.from_dict(saved, return_tensors="np")
    assert processor(PICTURE)["pixel_values"].shape == (1, 3, 9, 7)
    processor.save_pretrained(tmp_path)
    again = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert saved.items() <= again.items()
    with pytest.raises(UnsupportedError, match="do_pad=True"):
        ImageProcessor.from_dict({**saved, "do_pad": True})
