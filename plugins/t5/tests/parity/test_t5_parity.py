"""T5, T5 1.1 and mT5 against transformers with the same weights, and back."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from mindspore import Tensor  # noqa: E402

from mf_core import AutoModelForSeq2SeqLM  # noqa: E402
from mf_core.models.relative_bias import bucket_of  # noqa: E402
from mf_core.models.seq2seq_spec import RelativeSpec  # noqa: E402

pytestmark = pytest.mark.parity

SIZES = {
    "vocab_size": 61, "d_model": 32, "d_kv": 12, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 1, "num_heads": 3,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 12, "decoder_start_token_id": 0,
}  # fmt: skip
FAMILIES = {
    "t5": ("T5", SIZES),
    "t5_v1_1": ("T5", {**SIZES, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "mt5": ("MT5", {**SIZES, "tie_word_embeddings": False}),
}


@pytest.fixture(scope="module", params=list(FAMILIES))
def pair(request, tmp_path_factory):
    """Return transformers' model, ours from its directory, and the directory."""
    name, sizes = FAMILIES[request.param]
    torch.manual_seed(1)
    theirs = getattr(transformers, f"{name}ForConditionalGeneration")(getattr(transformers, f"{name}Config")(**sizes))
    if not sizes.get("tie_word_embeddings", True):  # the published ones have a separate head
        theirs.lm_head.weight = torch.nn.Parameter(torch.randn_like(theirs.lm_head.weight))
        theirs.config.tie_word_embeddings = False
    for key, parameter in theirs.named_parameters():
        if parameter.ndim == 1 or "relative" in key or "lm_head" in key:
            torch.nn.init.normal_(parameter, float(parameter.ndim == 1), 0.3)
    folder = tmp_path_factory.mktemp("family")
    theirs.eval().save_pretrained(folder)
    return theirs, AutoModelForSeq2SeqLM.from_pretrained(folder), folder


def batch():
    """Return sources ``(3, 17)`` and their mask, with padding, and targets ``(3, 9)``."""
    generator = np.random.default_rng(0)
    ids, mask = generator.integers(2, 61, (3, 17)), np.ones((3, 17), np.int64)
    for row, length in enumerate((17, 5, 11)):
        ids[row, length:] = mask[row, length:] = 0
    targets = generator.integers(2, 61, (3, 9))
    targets[:, 0] = 0
    return ids, mask, targets


def logits_of(theirs):
    ids, mask, targets = (torch.tensor(array) for array in batch())
    with torch.no_grad():
        return theirs(input_ids=ids, attention_mask=mask, decoder_input_ids=targets).logits.numpy()


def test_logits(pair):
    theirs, ours, _ = pair
    want = logits_of(theirs)
    got = ours(*(Tensor(array.astype(np.int32)) for array in batch())).asnumpy()
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize(
    "options",
    [{}, {"num_beams": 3}, {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 2.0, "early_stopping": True},
     {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2}],
    ids=["greedy", "beams", "beams_returned", "penalties"],
)  # fmt: skip
def test_ids(pair, options):
    theirs, ours, _ = pair
    ids, mask, _ = batch()
    want = theirs.generate(torch.tensor(ids), attention_mask=torch.tensor(mask), max_new_tokens=12, **options)
    got = ours.generate(ids, attention_mask=mask, max_new_tokens=12, **options)
    assert len(got) == len(want)
    for one, other in zip(got, want.tolist(), strict=True):
        assert one == other[: len(one)]
        assert set(other[len(one) :]) <= {0, 1}  # padding


def test_what_is_saved_is_read_by_transformers(pair, tmp_path):
    theirs, ours, folder = pair
    ours.save_pretrained(tmp_path)
    again, report = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert np.array_equal(logits_of(again.eval()), logits_of(theirs))
    before, after = (json.loads((place / "config.json").read_text()) for place in (folder, tmp_path))
    for key in ("model_type", "is_encoder_decoder", "d_model", "num_decoder_layers", "feed_forward_proj"):
        assert after[key] == before[key]


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (8, 12), (64, 1000)])
def test_buckets(both, buckets, distance):
    bucket = transformers.models.t5.modeling_t5.T5Attention._relative_position_bucket
    apart = np.arange(-1500, 1500)
    want = bucket(torch.tensor(apart), bidirectional=both, num_buckets=buckets, max_distance=distance).numpy()
    got = bucket_of(np.clip(apart, -distance, distance), RelativeSpec(buckets, distance, both_directions=both))
    assert np.array_equal(got, want)
