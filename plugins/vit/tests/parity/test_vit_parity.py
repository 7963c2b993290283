"""Each family and head against transformers with the same weights, and back."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from mindspore import Tensor  # noqa: E402

import mf_core  # noqa: E402

pytestmark = pytest.mark.parity

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "image_size": 16,
    "patch_size": 4, "initializer_range": 0.3,
}  # fmt: skip
DECODER = {
    "decoder_hidden_size": 24, "decoder_num_hidden_layers": 2, "decoder_num_attention_heads": 2,
    "decoder_intermediate_size": 40,
}  # fmt: skip
CASES = {
    "ViTModel": ("AutoModel", SIZES),
    "ViTModel, no biases": ("AutoModel", {**SIZES, "qkv_bias": False, "pooler_output_size": 8, "pooler_act": "relu"}),
    "ViTModel, oblong": ("AutoModel", {**SIZES, "image_size": [16, 24], "patch_size": [4, 8], "num_channels": 1}),
    "ViTForImageClassification": (
        "AutoModelForImageClassification", {**SIZES, "id2label": {0: "cat", 1: "dog", 2: "bird"}},
    ),
    "ViTMAEModel": ("AutoModel", {**SIZES, **DECODER}),
    "ViTMAEForPreTraining": ("AutoModelForPreTraining", {**SIZES, **DECODER}),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def pair(request, tmp_path_factory):
    """Return transformers' model, ours from its directory, and the directory."""
    auto, settings = CASES[request.param]
    torch.manual_seed(1)
    name = request.param.partition(",")[0]
    cls = getattr(transformers, name)
    theirs = cls(cls.config_class(**settings)).eval()
    for key, parameter in theirs.named_parameters():
        if parameter.ndim == 1 or "token" in key:  # biases of 0 and norms of 1 would hide that they are not used
            torch.nn.init.normal_(parameter, float("norm" in key.lower() and "weight" in key), 0.1)
    folder = tmp_path_factory.mktemp("family")
    theirs.save_pretrained(folder)
    return theirs, getattr(mf_core, auto).from_pretrained(folder), folder


def inputs_of(theirs):
    generator = np.random.default_rng(0)
    size = theirs.config.image_size
    shape = (3, theirs.config.num_channels, *(size if isinstance(size, (list, tuple)) else (size, size)))
    pixels = generator.standard_normal(shape).astype(np.float32)
    noise = {"noise": generator.random((3, 16)).astype(np.float32)} if "MAE" in type(theirs).__name__ else {}
    return {"pixel_values": pixels, **noise}


def outputs_of(theirs, inputs):
    with torch.no_grad():
        found = theirs(**{name: torch.tensor(array) for name, array in inputs.items()})
    names = ("logits", "mask") if "logits" in found else ("last_hidden_state", "pooler_output", "mask", "ids_restore")
    return [found[name].numpy() for name in names if name in found]


def test_outputs(pair):
    theirs, ours, _ = pair
    inputs = inputs_of(theirs)
    want, got = outputs_of(theirs, inputs), ours(*map(Tensor, inputs.values()))
    got = [output.asnumpy() for output in (got if isinstance(got, tuple) else (got,))]
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()


def test_what_is_saved_is_read_by_transformers(pair, tmp_path):
    theirs, ours, folder = pair
    ours.save_pretrained(tmp_path)
    again, report = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    inputs = inputs_of(theirs)
    for one, other in zip(outputs_of(again.eval(), inputs), outputs_of(theirs, inputs), strict=True):
        assert np.array_equal(one, other)
    before, after = (json.loads((place / "config.json").read_text()) for place in (folder, tmp_path))
    before.pop("transformers_version"), after.pop("transformers_version")
    assert {key: after.get(key) for key in before} == before


def test_new_autoencoders_begin_with_the_published_positions():
    from transformers.models.vit_mae.modeling_vit_mae import build_2d_sinusoidal_position_embedding

    ours = mf_core.AutoModelForPreTraining.from_config(
        mf_core.AutoConfig.from_config({"model_type": "vit_mae", **SIZES, **DECODER})
    )
    found = dict(ours.parameters_and_names())
    for name, width in (("vit.embeddings.position_embeddings", 32), ("decoder.decoder_pos_embed", 24)):
        want = build_2d_sinusoidal_position_embedding(4, 4, width, cls_token=True).numpy()
        want = np.roll(want, width // 2, 1)  # columns come first in checkpoints
        assert np.abs(found[name].asnumpy()[0] - want).max() < 1e-6
        assert not found[name].requires_grad
