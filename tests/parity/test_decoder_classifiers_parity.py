"""Classifiers over decoders against transformers with the same weights, and back; and from a language model."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from mindspore import Tensor  # noqa: E402

from mf_core import AutoModelForSequenceClassification  # noqa: E402

pytestmark = pytest.mark.parity

LABELS = {"id2label": {0: "dull", 1: "fair", 2: "bright"}, "label2id": {"dull": 0, "fair": 1, "bright": 2}}
SIZES = {
    "vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 64, "pad_token_id": 0, "initializer_range": 0.3,
}  # fmt: skip
FAMILIES = {
    "GPT2": {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "pad_token_id": 0,
             "initializer_range": 0.3},
    "Llama": SIZES,
    "Qwen3": {**SIZES, "head_dim": 12},
}  # fmt: skip


@pytest.fixture(scope="module", params=list(FAMILIES))
def pair(request, tmp_path_factory):
    """Return transformers' classifier, ours from its directory, and the family's name."""
    torch.manual_seed(1)
    config = getattr(transformers, f"{request.param}Config")(**FAMILIES[request.param], **LABELS)
    theirs = getattr(transformers, f"{request.param}ForSequenceClassification")(config).eval()
    folder = tmp_path_factory.mktemp("family")
    theirs.save_pretrained(folder)
    return theirs, AutoModelForSequenceClassification.from_pretrained(folder), request.param


def batch():
    """Return ids and mask ``(3, 12)``, with padding after two texts."""
    ids, mask = np.random.default_rng(0).integers(1, 97, (3, 12)), np.ones((3, 12), np.int64)
    for row, length in enumerate((12, 4, 9)):
        ids[row, length:] = mask[row, length:] = 0
    return ids, mask


def logits_of(theirs):
    ids, mask = (torch.tensor(array) for array in batch())
    with torch.no_grad():
        return theirs(ids, attention_mask=mask).logits.numpy()


def test_logits(pair):
    theirs, ours, _ = pair
    want = logits_of(theirs)
    ids, mask = (Tensor(array.astype(np.int32)) for array in batch())
    assert np.abs(ours(ids, mask).asnumpy() - want).max() <= 1e-5 * np.abs(want).max()
    assert np.abs(ours(ids).asnumpy() - want).max() <= 1e-5 * np.abs(want).max()  # by the id of padding
    assert ours.config.labels == ["dull", "fair", "bright"]
    left = [np.stack([np.roll(row, shift) for row, shift in zip(array, (0, 8, 3), strict=True)]) for array in batch()]
    found = ours(*(Tensor(array.astype(np.int32)) for array in left)).asnumpy()
    assert np.abs(found - want).max() <= 1e-5 * np.abs(want).max()


def test_what_is_saved_is_read_by_transformers(pair, tmp_path):
    theirs, ours, _ = pair
    ours.save_pretrained(tmp_path)
    again, report = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert np.array_equal(logits_of(again.eval()), logits_of(theirs))
    assert again.config.id2label == LABELS["id2label"]


def test_language_model_gets_a_new_head(pair, tmp_path):
    theirs, _, name = pair
    cls = "GPT2LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM"
    getattr(transformers, cls)(theirs.config).save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="have no score"):
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path, num_labels=5)
    ids, mask = (Tensor(array.astype(np.int32)) for array in batch())
    assert model(ids, mask).shape == (3, 5)
