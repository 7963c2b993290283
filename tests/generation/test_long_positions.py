"""Texts that grow beyond the length from which rotary positions are others (LongRoPE)."""

import numpy as np
import pytest
from mindspore import Tensor

from mf_core.generation import rows as rows_module
from mf_core.generation.rows import CachedRows

from ..support.decoder_families import LlamaForCausalLM, small

SCALING = {
    "rope_type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [1.5, 2.0, 3.0, 4.0],
    "original_max_position_embeddings": 12,
}  # fmt: skip
TEXT = np.random.default_rng(3).integers(1, 60, 30).tolist()
LONG = {"max_new_tokens": 14, "do_sample": False}


@pytest.fixture(scope="module", params=["one kernel", "a graph"])
def model(request):
    """A model that computes texts again when they become long, by the backend's kernel or by a compiled graph."""
    made = small("llama", rope_scaling=SCALING)
    patch = pytest.MonkeyPatch()
    patch.setattr(LlamaForCausalLM, "recomputes_long", True)
    if request.param == "a graph":
        patch.setattr(made, "decoder_arrays", lambda: None)
    yield made
    patch.undo()


def whole(model, ids):
    return model(Tensor(np.array([ids], np.int32))).asnumpy()[0]


def test_what_is_cached_is_computed_again(model):
    with CachedRows(model, 2) as rows:
        rows.put([TEXT[:10], TEXT[5:12]])
        got = rows.put([TEXT[10:14], TEXT[12:13]])[:, -1]  # the first of both becomes long
    np.testing.assert_allclose(got[0], whole(model, TEXT[:14])[-1], atol=2e-5)
    np.testing.assert_allclose(got[1], whole(model, TEXT[5:13])[-1], atol=2e-5)


def test_passes_of_a_long_prompt_have_the_positions_of_long_texts(model, monkeypatch):
    monkeypatch.setattr(rows_module, "MAX_WIDTH", 8)
    with CachedRows(model, 1) as rows:
        np.testing.assert_allclose(rows.put([TEXT])[0, -1], whole(model, TEXT)[-1], atol=2e-5)


@pytest.mark.parametrize(("first", "then"), [(10, 20), (20, 8)])
def test_a_prefix_of_a_text_of_the_other_kind_is_not_kept(model, first, then):
    with CachedRows(model, 1) as rows:
        rows.put([TEXT[:first]])
        missing = rows.keep_prefix(0, TEXT[:then])
        assert missing == TEXT[:then]
        np.testing.assert_allclose(rows.put([missing])[0, -1], whole(model, TEXT[:then])[-1], atol=2e-5)
        assert rows.keep_prefix(0, TEXT[: then + 1]) == TEXT[then : then + 1]


def test_proposed_tokens_and_beams_are_those_of_the_text_alone(model):
    prompt = [5, 6, 7, 5, 6, 7, 5, 6]
    plain = model.generate([prompt], **LONG)[0]
    for length in range(len(prompt) + 1, len(plain)):
        assert whole(model, plain[:length])[-1].argmax() == plain[length], length
    assert model.generate([prompt], prompt_lookup_num_tokens=4, **LONG)[0] == plain
    assert len(model.generate([prompt], num_beams=2, **LONG)[0]) == len(plain)


def test_rows_of_a_model_that_keeps_what_is_cached(model, monkeypatch):
    monkeypatch.setattr(LlamaForCausalLM, "recomputes_long", False)
    with CachedRows(model, 1) as rows:
        rows.put([TEXT[:12]])
        rows.put([TEXT[12:13]])
        assert len(rows.cached[0]) == 13
        assert rows.keep_prefix(0, TEXT[:14]) == TEXT[:14]  # a prompt has one kind of positions
