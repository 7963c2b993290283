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
    "vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 40, "initializer_range": 0.3,
}  # fmt: skip
FAMILIES = {
    "Bert": SIZES,
    "Roberta": {**SIZES, "type_vocab_size": 1, "pad_token_id": 1},
    "DistilBert": {"vocab_size": 97, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "n_positions": 40,
                   "max_position_embeddings": 40, "initializer_range": 0.3},
}  # fmt: skip
LABELS = {0: "dull", 1: "fair", 2: "bright"}
HEADS = {
    "Model": "AutoModel", "ForMaskedLM": "AutoModelForMaskedLM",
    "ForSequenceClassification": "AutoModelForSequenceClassification",
    "ForTokenClassification": "AutoModelForTokenClassification",
    "ForQuestionAnswering": "AutoModelForQuestionAnswering",
}  # fmt: skip


@pytest.fixture(scope="module", params=[(family, head) for family in FAMILIES for head in HEADS], ids="".join)
def pair(request, tmp_path_factory):
    """Return transformers' model, ours from its directory, and the directory."""
    family, head = request.param
    torch.manual_seed(1)
    labels = {"id2label": LABELS} if head.endswith("Classification") else {}
    config = getattr(transformers, f"{family}Config")(**FAMILIES[family], **labels)
    theirs = getattr(transformers, family + head)(config).eval()
    for name, parameter in theirs.named_parameters():
        if parameter.ndim == 1:  # biases of 0 and norms of 1 would hide that they are not used
            torch.nn.init.normal_(parameter, float("norm" in name.lower() and "weight" in name), 0.1)
    folder = tmp_path_factory.mktemp("family")
    theirs.save_pretrained(folder)
    return theirs, getattr(mf_core, HEADS[head]).from_pretrained(folder), folder


def batch(theirs):
    """Return ids, a mask with padding on the right, and segments: ``(2, 10)`` each."""
    generator = np.random.default_rng(0)
    ids, mask = generator.integers(2, 97, (2, 10)), np.ones((2, 10), np.int64)
    types = np.zeros_like(ids)
    mask[1, 6:] = 0
    ids[1, 6:] = theirs.config.pad_token_id
    if getattr(theirs.config, "type_vocab_size", 0) > 1:
        types[:, 4:] = 1
    return ids, mask, types


def outputs_of(theirs, ids, mask, types):
    segments = {"token_type_ids": torch.tensor(types)} if types.any() else {}
    with torch.no_grad():
        found = theirs(torch.tensor(ids), attention_mask=torch.tensor(mask), **segments)
    arrays = [output.numpy() for output in found.to_tuple()]
    return [np.stack(arrays, -1)] if "QuestionAnswering" in type(theirs).__name__ else arrays


def test_outputs(pair):
    theirs, ours, _ = pair
    ids, mask, types = batch(theirs)
    want = outputs_of(theirs, ids, mask, types)
    got = ours(*(Tensor(array.astype(np.int32)) for array in (ids, mask, types)))
    got = [output.asnumpy() for output in (got if isinstance(got, tuple) else (got,))]
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        assert one.shape == other.shape
        counted = mask[:, :, None] if one.ndim == 3 else 1
        assert np.abs((one - other) * counted).max() <= 1e-5 * np.abs(other).max()


def test_what_is_saved_is_read_by_transformers(pair, tmp_path):
    theirs, ours, folder = pair
    ours.save_pretrained(tmp_path)
    again, report = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    arrays = batch(theirs)
    for one, other in zip(outputs_of(again.eval(), *arrays), outputs_of(theirs, *arrays), strict=True):
        assert np.array_equal(one, other)
    before, after = (json.loads((place / "config.json").read_text()) for place in (folder, tmp_path))
    assert {key: after.get(key) for key in ("model_type", "id2label", "label2id")} == {
        key: before.get(key) for key in ("model_type", "id2label", "label2id")
    }


def test_wordpiece_of_a_vocabulary_file(tmp_path):
    tokens = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat", ".", "un", "##real", "猫", "cafe",
    ]  # fmt: skip
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    theirs = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"), do_lower_case=True)
    ours = mf_core.AutoTokenizer.from_pretrained(tmp_path)
    for text in ("The cats sat.", "Unreal café 猫猫 dog", "", "[MASK] the\tcat [SEP]"):
        assert ours(text)["input_ids"] == theirs(text)["input_ids"]
    pair = ours("the cats", "unreal cat")
    assert pair == {name: theirs("the cats", "unreal cat")[name] for name in pair}
    for limit in range(4, 9):
        for texts in (("the cats sat.", "cat"), ("cat", "the cats sat."), ("the cat sat .", "cats the cat sat")):
            want = theirs(*texts, truncation=True, max_length=limit)
            assert ours(*texts, truncation=True, max_length=limit)["input_ids"] == want["input_ids"], (limit, texts)
