"""Pixel values are those of transformers' processors that work by Pillow and numpy."""

import numpy as np
import pytest

pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from PIL import Image  # noqa: E402

from mf_core.processing import ImageProcessor  # noqa: E402

pytestmark = pytest.mark.parity

SETTINGS = {
    "ViTImageProcessorPil": [
        {}, {"size": {"height": 24, "width": 18}, "resample": 3}, {"image_mean": [0.2, 0.3, 0.4], "resample": 0},
        {"do_rescale": False}, {"do_normalize": False},
    ],
    "CLIPImageProcessorPil": [
        {}, {"size": {"shortest_edge": 20}, "crop_size": {"height": 31, "width": 16}}, {"resample": 1},
        {"size": {"shortest_edge": 33}, "crop_size": {"height": 32, "width": 32}}, {"do_resize": False},
    ],
}  # fmt: skip
SIZES = [(40, 60), (61, 37), (224, 224), (1, 1), (300, 17)]


@pytest.mark.parametrize(("kind", "settings"), [(k, s) for k, each in SETTINGS.items() for s in each])
def test_pixel_values(kind, settings, tmp_path):
    theirs = getattr(transformers, kind)(**settings)
    theirs.save_pretrained(tmp_path)
    import json

    saved = json.loads((tmp_path / "preprocessor_config.json").read_text())
    ours = ImageProcessor.from_dict(saved, return_tensors="np")
    generator = np.random.default_rng(0)
    for height, width in SIZES:
        array = generator.integers(0, 256, (height, width, 3)).astype(np.uint8)
        for picture in (Image.fromarray(array), array):
            if height == 1 and picture is array:
                continue  # transformers does not know which axis has the channels
            want = theirs(picture, return_tensors="np")["pixel_values"]
            assert np.array_equal(ours(picture)["pixel_values"], want)
    clear = Image.fromarray(generator.integers(0, 256, (30, 30, 4)).astype(np.uint8))
    if theirs.do_convert_rgb:
        want = theirs(clear, return_tensors="np")["pixel_values"]
        assert np.array_equal(ours(clear)["pixel_values"], want)
    ours.save_pretrained(tmp_path)
    again = type(theirs).from_pretrained(tmp_path)
    assert again.to_dict() == theirs.to_dict()
