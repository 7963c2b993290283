"""The same weights give the same numbers as transformers on torch, on the CPU."""

import numpy as np
import pytest

pytestmark = pytest.mark.parity

LIMIT = 1e-5
SHAPE = {"n_layer": 3, "n_embd": 96, "n_head": 4, "vocab_size": 500, "n_positions": 128}


def reference(**changes):
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.GPT2Config(**{**SHAPE, "bos_token_id": 499, "eos_token_id": 499, **changes})
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms away from their trivial initial values
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    from mf_core import AutoModel

    folder = tmp_path_factory.mktemp("hf")
    theirs = reference()
    theirs.save_pretrained(folder)
    return theirs, AutoModel.from_pretrained(folder), folder


def random_ids(*shape):
    return np.random.default_rng(1).integers(0, 499, shape).astype(np.int32)


def their_logits(model, ids, mask=None):
    import torch

    with torch.no_grad():
        if mask is None:
            return model(torch.tensor(ids).long()).logits.numpy()
        positions = torch.tensor(np.maximum(np.cumsum(mask, 1) - 1, 0)).long()
        return model(
            torch.tensor(ids).long(), attention_mask=torch.tensor(mask).long(), position_ids=positions
        ).logits.numpy()


def test_logits_of_a_prompt(pair):
    import mindspore as ms

    theirs, ours, _ = pair
    ids = random_ids(2, 128)
    assert np.abs(their_logits(theirs, ids) - ours(ms.Tensor(ids)).asnumpy()).max() < LIMIT


def test_logits_with_left_padding(pair):
    import mindspore as ms

    theirs, ours, _ = pair
    ids = random_ids(3, 40)
    mask = np.ones_like(ids)
    mask[0, :13] = mask[1, :1] = 0
    difference = np.abs(their_logits(theirs, ids, mask) - ours(ms.Tensor(ids), ms.Tensor(mask)).asnumpy())
    assert difference[mask == 1].max() < LIMIT


def test_logits_of_cached_decode(pair, monkeypatch):
    """Every step's logits over the cache, batch with prompts of different lengths, against transformers without one."""
    from mf_core.generation import sequences

    theirs, ours, _ = pair
    seen = []
    spy = lambda history, logits: seen.append((history[0].copy(), logits[0].copy())) or logits  # noqa: E731
    monkeypatch.setattr(sequences, "build_processors", lambda *_: [spy])
    prompts = [random_ids(n).tolist() for n in (3, 17, 29)]
    results = ours.generate(prompts, max_new_tokens=40, do_sample=False, eos_token_id=None)
    for prompt, ids in zip(prompts, results, strict=True):
        whole = their_logits(theirs, np.array([ids]))[0]
        mine = [(len(history), logits) for history, logits in seen
                if len(prompt) <= len(history) and history == ids[: len(history)]]  # fmt: skip
        assert [length for length, _ in mine] == list(range(len(prompt), len(ids)))
        for length, logits in mine:
            assert np.abs(whole[length - 1] - logits).max() < LIMIT


def test_greedy_ids(pair):
    import torch

    theirs, ours, _ = pair
    prompts = [random_ids(n).tolist() for n in (1, 8, 16, 33)]
    results = ours.generate(prompts, max_new_tokens=64, do_sample=False, eos_token_id=None)
    for prompt, ids in zip(prompts, results, strict=True):
        expected = theirs.generate(
            torch.tensor([prompt]), max_new_tokens=64, do_sample=False, eos_token_id=None, pad_token_id=0
        )
        assert ids == expected[0].tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {"activation_function": "gelu"},
        {"activation_function": "relu"},
        {"activation_function": "silu"},
        {"n_inner": 100},
        {"scale_attn_weights": False},
        {"scale_attn_by_inverse_layer_idx": True},
        {"layer_norm_epsilon": 1e-3},
    ],
    ids=lambda c: next(iter(c)) + "=" + str(next(iter(c.values()))),
)
def test_variants_of_the_architecture(changes, tmp_path):
    import mindspore as ms

    from mf_core import AutoModel

    theirs = reference(**changes)
    theirs.save_pretrained(tmp_path)
    ours = AutoModel.from_pretrained(tmp_path)
    ids = random_ids(2, 20)
    assert np.abs(their_logits(theirs, ids) - ours(ms.Tensor(ids)).asnumpy()).max() < 2 * LIMIT


def test_sharded_checkpoint_loads(pair, tmp_path):
    import mindspore as ms

    from mf_core import AutoModel

    theirs, ours, _ = pair
    theirs.save_pretrained(tmp_path, max_shard_size="300KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    ids = ms.Tensor(random_ids(1, 9))
    np.testing.assert_array_equal(AutoModel.from_pretrained(tmp_path)(ids).asnumpy(), ours(ids).asnumpy())


@pytest.mark.parametrize("shard_size", [10**9, 300_000])
def test_what_we_save_transformers_loads(pair, tmp_path, shard_size):
    import torch
    import transformers

    theirs, ours, _ = pair
    ours.save_pretrained(tmp_path, shard_size=shard_size)
    again = transformers.GPT2LMHeadModel.from_pretrained(tmp_path)
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    for key in ("n_layer", "n_embd", "n_head", "vocab_size", "n_positions", "activation_function"):
        assert getattr(again.config, key) == getattr(theirs.config, key)


def test_shipped_model_gives_the_same_text_in_transformers(tmp_path):
    import torch
    import transformers

    from mf_core import AutoModel, AutoTokenizer, pipeline

    AutoModel.from_pretrained("gpt2_tiny").save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained("gpt2_tiny").save_pretrained(tmp_path)
    prompt = "Once upon a time"
    ours = pipeline("text_generation", "gpt2_tiny", do_sample=False)(prompt)[0]["text_generation_text"][0]
    model = transformers.GPT2LMHeadModel.from_pretrained(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ids = torch.tensor([tokenizer.encode(prompt, add_special_tokens=False)])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_length=256)[0]
    assert tokenizer.decode(out, skip_special_tokens=True) == ours
