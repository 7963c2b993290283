"""Decoders that are declared, against ``transformers``: logits of whole texts, and of texts read through the cache."""

import numpy as np
import pytest
from mindspore import Tensor

from mf_core.generation.rows import CachedRows

from ..support.decoder_families import FAMILIES

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SIZES = {
    "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 48, "max_position_embeddings": 64, "initializer_range": 0.2, "pad_token_id": 0,
    "attn_implementation": "eager",
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
LONG = {
    "rope_type": "longrope", "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [1.5, 2.0, 3.0, 4.0],
    "original_max_position_embeddings": 8, "factor": 8.0,
}  # fmt: skip
#: Name -> the class of transformers, ours, and what differs from SIZES.
CASES = {
    "llama": ("Llama", "llama", {}),
    "biases, a wide head": ("Llama", "llama", {"attention_bias": True, "mlp_bias": True, "head_dim": 12}),
    "linear": ("Llama", "llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0}}),
    "dynamic": ("Llama", "llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 500.0}}),
    "llama3": ("Llama", "llama", {"rope_parameters": {**LLAMA3, "rope_theta": 500.0}}),
    "yarn": ("Llama", "llama", {"rope_parameters": {**YARN, "rope_theta": 500.0}}),
    "longrope": ("Llama", "llama", {"rope_parameters": {**LONG, "rope_theta": 500.0}}),
    "window": ("Mistral", "llama", {"sliding_window": 4}),
    "qwen3": ("Qwen3", "qwen3", {"head_dim": 12, "tie_word_embeddings": True}),
    "gemma2": ("Gemma2", "gemma2", {"head_dim": 8, "sliding_window": 4, "query_pre_attn_scalar": 7}),
    "olmo2": ("Olmo2", "olmo2", {}),
    "gpt_neox": ("GPTNeoX", "gpt_neox", {"num_key_value_heads": None, "rotary_pct": 0.5}),
    "bloom": ("Bloom", "bloom", {"num_key_value_heads": None, "n_head": 4, "n_layer": 2}),
}


def pair(case):
    """Return a model of transformers and ours with its weights."""
    theirs, family, fields = CASES[case]
    fields = {name: value for name, value in {**SIZES, **fields}.items() if value is not None}
    torch.manual_seed(0)
    config = getattr(transformers, f"{theirs}Config")(**fields)
    wanted = getattr(transformers, f"{theirs}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, parameter in wanted.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model, cls = FAMILIES[family]
    data = {name: value for name, value in config.to_dict().items() if name != "model_type"}
    if case == "bloom":
        data.update(max_position_embeddings=64, intermediate_size=128)
    ours = model(cls.from_dict(data, compute_dtype="float32"))
    state = {name: tensor.numpy() for name, tensor in wanted.state_dict().items()}
    for name, parameter in ours.parameters_and_names():
        assert parameter.shape == state[name].shape, name
        parameter.set_data(Tensor(state.pop(name)))
    assert all("lm_head" in name or "rotary" in name or "inv_freq" in name for name in state), list(state)
    return wanted, ours


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_transformers(case):
    wanted, ours = pair(case)
    ids = np.random.default_rng(0).integers(1, 60, (2, 12))
    mask = np.ones_like(ids)
    mask[0, :3] = 0
    with torch.no_grad():
        expected = wanted(torch.tensor(ids), attention_mask=torch.tensor(mask)).logits.numpy()
        whole = wanted(torch.tensor(ids[1:])).logits.numpy()
    found = ours(Tensor(ids.astype(np.int32)), Tensor(mask.astype(np.int32))).asnumpy()
    first = 1 if case == "longrope" else 0  # transformers takes padding for a longer text there
    np.testing.assert_allclose((found * mask[..., None])[first:], (expected * mask[..., None])[first:], atol=1e-5)
    if case == "longrope":
        return  # of a text that grows past the original context, what is cached has been rotated for a short one
    with CachedRows(ours, 1) as rows:
        np.testing.assert_allclose(rows.put([ids[1, :5].tolist()])[0, -1], whole[0, 4], atol=1e-5)
        np.testing.assert_allclose(rows.put([ids[1, 5:].tolist()], 7)[0], whole[0, 5:], atol=1e-5)
