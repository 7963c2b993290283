"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec

_COMMON = {
    "vocab_size": 49155, "num_layers": 40, "num_key_value_heads": 8, "seq_length": 131072, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True, "embedding_multiplier": 12.0, "residual_multiplier": 0.22, "bos_token_id": 0,
    "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
_PRESETS = (
    Preset(
        name="granite3_1_2b", weights="hub:ibm-granite/granite-3.1-2b-instruct", license="Apache-2.0",
        parameters=2_533_531_648,
        config={**_COMMON, "hidden_size": 2048, "intermediate_size": 8192, "rope_theta": 5000000.0,
                "attention_multiplier": 0.015625, "logits_scaling": 8.0},
    ),
    Preset(
        name="granite3_1_8b", weights="hub:ibm-granite/granite-3.1-8b-instruct", license="Apache-2.0",
        parameters=8_170_848_256,
        config={**_COMMON, "intermediate_size": 12800, "rope_theta": 10000000.0, "attention_multiplier": 0.0078125,
                "logits_scaling": 16.0},
    ),
)  # fmt: skip


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configuration and its presets."""
    return [ConfigSpec(model_type="granite", target="mf_granite.config:GraniteConfig", presets=_PRESETS)]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the model with its language-model head."""
    target = "mf_granite.modeling:GraniteForCausalLM"
    return [ModelSpec(model_type="granite", target=target, heads=("base", "causal_lm"))]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer."""
    return [TokenizerSpec(model_type="granite", target="mf_granite.tokenization:GraniteTokenizer")]
