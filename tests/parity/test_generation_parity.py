"""Generated ids against ``transformers``: each option on tiny models of several families, fp32, ids for ids."""

import numpy as np
import pytest

from mf_core.generation.config import GenerationConfig
from mf_core.generation.processors import build_processors

pytestmark = pytest.mark.parity

VOCAB, END = 97, 5
PROMPTS = [np.random.default_rng(n).integers(6, VOCAB, n).tolist() for n in (3, 8)]
SIZES = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "bos_token_id": 4, "eos_token_id": END,
    "pad_token_id": None, "initializer_range": 0.3, "tie_word_embeddings": False,
}  # fmt: skip
#: Name of transformers' classes -> what differs from the sizes above.
FAMILIES = {
    "GPT2": {"tie_word_embeddings": True}, "Llama": {}, "Qwen3": {"head_dim": 12}, "GPTNeoX": {}, "Bloom": {},
    "Gemma3": {"head_dim": 12, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
    "DeepseekV3": {
        "num_key_value_heads": 4, "kv_lora_rank": 10, "q_lora_rank": 9, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4,
        "v_head_dim": 7, "n_routed_experts": 8, "num_experts_per_tok": 3, "n_shared_experts": 2, "n_group": 4,
        "topk_group": 2, "moe_intermediate_size": 12, "first_k_dense_replace": 0,
        "num_hidden_layers": 1,
    },
}  # fmt: skip
#: Draws among one token are no draws, so that ids can be compared; which tokens are left otherwise is tested below.
DRAWN = {"do_sample": True, "top_k": 0, "seed": 0}
#: Name of a case -> its options, as both have them but for ``seed``.
OPTIONS = {
    "greedy": {},
    "max_length": {"max_length": 13, "max_new_tokens": None},
    "min_new_tokens": {"min_new_tokens": 10, "eos_token_id": list(range(5, 60))},
    "min_length": {"min_length": 14, "eos_token_id": list(range(5, 60))},
    "repetition_penalty": {"repetition_penalty": 1.7},
    "no_repeat_ngram_size": {"no_repeat_ngram_size": 2},
    "bad_words_ids": {"bad_words_ids": [[n] for n in range(10, 40)] + [[50, 51], [60, 61, 62], [END]]},
    "sequence_bias": {"sequence_bias": [[[n], 4.0] for n in range(20, 30)] + [[[20, 21], 30.0], [[21, 22, 23], -40.0]]},
    "suppress_tokens": {"suppress_tokens": list(range(6, 60))},
    "begin_suppress_tokens": {"begin_suppress_tokens": list(range(6, 80))},
    "forced_eos_token_id": {"forced_eos_token_id": 7},
    "exponential_decay_length_penalty": {"exponential_decay_length_penalty": (4, 1.6)},
    "remove_invalid_values": {"remove_invalid_values": True},
    "renormalize_logits": {"renormalize_logits": True},
    "several ends": {"eos_token_id": [END, 9, 11, 13, 40]},
    "prompt_lookup_num_tokens": {"prompt_lookup_num_tokens": 3},
    "temperature and top_k": {**DRAWN, "temperature": 0.4, "top_k": 1},
    "top_p": {**DRAWN, "top_p": 1e-6},
    "min_p": {**DRAWN, "min_p": 1.0},
    "typical_p": {**DRAWN, "typical_p": 1e-6},
    "epsilon_cutoff": {**DRAWN, "epsilon_cutoff": 0.9999},
    "eta_cutoff": {**DRAWN, "temperature": 1e-4, "eta_cutoff": 0.9999},
    "beams": {"num_beams": 3},
    "beams, all of them": {"num_beams": 3, "num_return_sequences": 3},
    "beams, short": {"num_beams": 3, "length_penalty": -2.0},
    "beams, long": {"num_beams": 3, "length_penalty": 2.0},
    "beams, early": {"num_beams": 3, "early_stopping": True},
    "beams, never": {"num_beams": 3, "early_stopping": "never", "length_penalty": 0.5},
    "beams, several ends": {"num_beams": 3, "eos_token_id": [END, 9, 11]},
    "beams, no_repeat_ngram_size": {"num_beams": 3, "no_repeat_ngram_size": 2},
    "beams, repetition_penalty": {"num_beams": 3, "repetition_penalty": 1.5},
    "beams, min_new_tokens": {"num_beams": 3, "min_new_tokens": 10},
    "beams, bad_words_ids": {"num_beams": 3, "bad_words_ids": [[n] for n in range(10, 50)]},
    # All of the six candidates are drawn, in an order that counts only for those that end a text: at the last step.
    "beams, drawn": {**DRAWN, "num_beams": 3, "top_k": 2, "min_new_tokens": 13, "forced_eos_token_id": END},
}


@pytest.fixture(scope="module", params=FAMILIES)
def models(request, tmp_path_factory):
    """The same weights in both."""
    import torch
    import transformers

    torch.manual_seed(3)
    name = request.param
    fields = {**SIZES, **FAMILIES[name]}
    config_class = getattr(transformers, "Gemma3TextConfig" if name == "Gemma3" else f"{name}Config")
    if name == "GPT2":
        del fields["intermediate_size"]
    config = config_class(**fields)
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    directory = tmp_path_factory.mktemp(name)
    theirs.save_pretrained(directory)
    from mf_core import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(directory), theirs


def expected(model, prompt, options):
    """Return ``transformers``' ids for one prompt, without padding after the end."""
    import torch

    options = {name: value for name, value in options.items() if value is not None and name != "seed"}
    ends = np.atleast_1d(options.get("eos_token_id", END)).tolist()
    rows = model.generate(torch.tensor([prompt]), pad_token_id=VOCAB - 1, **options).tolist()
    cut = []
    for row in rows:
        new = row[len(prompt) :]
        first = next((n for n, index in enumerate(new) if index in ends), None)
        cut.append(prompt + (new if first is None else new[: first + 1]))
    return cut


@pytest.mark.parametrize("name", OPTIONS)
def test_ids_are_those_of_transformers(models, name):
    """Each prompt alone, and both in a batch."""
    ours, theirs = models
    options = {"max_new_tokens": 14, "do_sample": False, **OPTIONS[name]}
    want = [expected(theirs, prompt, options) for prompt in PROMPTS]
    assert [ours.generate(prompt, **options) for prompt in PROMPTS] == want
    assert ours.generate(PROMPTS, **options) == [ids for rows in want for ids in rows]


@pytest.fixture(scope="module")
def drafts(tmp_path_factory):
    """A small model with the same vocabulary, in both."""
    import transformers

    from mf_core import AutoModelForCausalLM

    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**SIZES, "num_hidden_layers": 1})).eval()
    directory = tmp_path_factory.mktemp("draft")
    theirs.save_pretrained(directory)
    return AutoModelForCausalLM.from_pretrained(directory), theirs


def test_ids_with_drafts_are_those_of_transformers(models, drafts):
    ours, theirs = models
    options = {"max_new_tokens": 14, "do_sample": False, "repetition_penalty": 1.3}
    drafts[1].generation_config.num_assistant_tokens = 3
    want = [expected(theirs, prompt, {**options, "assistant_model": drafts[1]})[0] for prompt in PROMPTS]
    assert ours.generate(PROMPTS, assistant_model=drafts[0], num_assistant_tokens=3, **options) == want


def test_ids_with_functions_of_the_caller_are_those_of_transformers(models):
    import torch

    def among_evens(ids, logits):
        logits[:, 1::2] = -float("inf")
        logits[:, ids[0, -1] % 7 :: 7] += 5
        return logits

    def has_sixty(ids, logits):
        return torch.tensor([any(i > 60 for i in row[len(PROMPTS[0]) + 3 :]) for row in ids.tolist()])

    ours, theirs = models
    for beams in (1, 3):
        options = {"num_beams": beams, "max_new_tokens": 14, "do_sample": False}
        theirs_too = {"logits_processor": [among_evens], "stopping_criteria": [has_sixty]}
        want = expected(theirs, PROMPTS[0], {**options, **theirs_too})
        assert ours.generate([PROMPTS[0]], logits_processor=among_evens, stopping_criteria=has_sixty, **options) == want


def test_forced_bos_after_a_prompt_of_one_token(models):
    ours, theirs = models
    options = {"forced_bos_token_id": 33, "max_new_tokens": 5, "do_sample": False}
    assert ours.generate([[8]], **options) == expected(theirs, [8], options)


def test_scores_of_beams_and_of_greedy_texts(models):
    import torch

    ours, theirs = models
    options = {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": 10, "do_sample": False}
    mine = ours.generate(PROMPTS[1], return_dict_in_generate=True, **options)
    want = theirs.generate(
        torch.tensor([PROMPTS[1]]), pad_token_id=0, return_dict_in_generate=True, output_scores=True, **options
    )
    np.testing.assert_allclose(mine.scores, want.sequences_scores.numpy(), rtol=1e-4, atol=1e-4)
    options = {"max_new_tokens": 6, "do_sample": False}
    mine = ours.generate(PROMPTS[1], return_dict_in_generate=True, logprobs=3, **options)
    want = theirs.generate(
        torch.tensor([PROMPTS[1]]), pad_token_id=0, return_dict_in_generate=True, output_logits=True, **options
    )
    for said, logits in zip(mine.logprobs[0], want.logits, strict=True):
        top = logits[0].log_softmax(-1).topk(3)
        assert [index for index, _ in said.top] == top.indices.tolist()
        np.testing.assert_allclose([p for _, p in said.top], top.values.numpy(), rtol=1e-4, atol=1e-4)


def test_stop_strings_end_where_those_of_transformers_do():
    """With the shipped model, whose tokenizer both read."""
    import tempfile

    import transformers

    from mf_core import AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory() as directory:
        model, tokenizer = AutoModelForCausalLM.from_pretrained("gpt2_tiny"), AutoTokenizer.from_pretrained("gpt2_tiny")
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        theirs = transformers.AutoModelForCausalLM.from_pretrained(directory)
        their_tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
        ids = tokenizer.encode("Once upon a time", add_special_tokens=False)
        for stop in (["morning"], ["ow", "zzz"], ["n the f"], [". One"]):
            import torch

            options = {"max_new_tokens": 40, "do_sample": False}
            want = theirs.generate(
                torch.tensor([ids]), stop_strings=stop, tokenizer=their_tokenizer, max_length=None, **options
            )
            assert model.generate(ids, stop=stop, tokenizer=tokenizer, **options) == want.tolist()


@pytest.mark.parametrize("kind", ["random", "forbidden", "flat"])
@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {"min_p": 0.05}, {"min_p": 0.6}, {"typical_p": 0.3}, {"typical_p": 0.95}, {"epsilon_cutoff": 0.01},
        {"epsilon_cutoff": 0.3}, {"eta_cutoff": 0.02}, {"eta_cutoff": 0.5}, {"top_k": 2}, {"top_p": 0.3},
        {"temperature": 0.6, "top_k": 20, "top_p": 0.9, "min_p": 0.02, "typical_p": 0.9, "epsilon_cutoff": 1e-3,
         "eta_cutoff": 1e-3, "renormalize_logits": True},
    ],
    ids=str,
)  # fmt: skip
def test_the_same_tokens_stay_in_the_distribution(settings, num_beams, kind):
    import torch
    from transformers import GenerationConfig as TheirConfig
    from transformers import GPT2Config, GPT2LMHeadModel, LogitsProcessorList

    rng = np.random.default_rng(11)
    logits = rng.normal(scale=0.1 if kind == "flat" else 3.0, size=(3, 500)).astype(np.float32)
    if kind == "forbidden":
        logits[:, 1:][rng.random((3, 499)) < 0.3] = -np.inf
    history = rng.integers(0, 500, (3, 6))
    their_config = TheirConfig(do_sample=True, num_beams=num_beams, eos_token_id=3, **settings)
    their_config._eos_token_tensor = torch.tensor([3])
    model = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_positions=8, n_embd=4, n_layer=1, n_head=1))
    chain = model._get_logits_processor(
        generation_config=their_config, input_ids_seq_length=6, encoder_input_ids=torch.from_numpy(history),
        logits_processor=LogitsProcessorList(),
    )  # fmt: skip
    want = chain(torch.from_numpy(history), torch.from_numpy(logits.copy())).numpy()
    out = logits
    config = GenerationConfig(do_sample=True, num_beams=num_beams, eos_token_id=3, **settings)
    for processor in build_processors(config, [6] * 3, [9] * 3):
        out = processor(history.tolist(), out)
    assert ((out == -np.inf) == (want == -np.inf)).all()
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)
