"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec

_COMMON = {
    "vocab_size": 100352, "seq_length": 4096, "rope_theta": 500000.0, "rms_norm_eps": 1e-6, "eos_token_id": 100257,
    "pad_token_id": 100277,
}  # fmt: skip
_PRESETS = (
    Preset(
        name="olmo2_1b", weights="hub:allenai/OLMo-2-0425-1B-Instruct", license="Apache-2.0", parameters=1_484_916_736,
        config={**_COMMON, "hidden_size": 2048, "num_layers": 16, "num_heads": 16, "intermediate_size": 8192},
    ),
    Preset(
        name="olmo2_7b", weights="hub:allenai/OLMo-2-1124-7B-Instruct", license="Apache-2.0", parameters=7_298_617_344,
        config=_COMMON,
    ),
    Preset(
        name="olmo2_13b", weights="hub:allenai/OLMo-2-1124-13B-Instruct", license="Apache-2.0",
        parameters=13_716_198_400,
        config={**_COMMON, "hidden_size": 5120, "num_layers": 40, "num_heads": 40, "intermediate_size": 13824},
    ),
)  # fmt: skip


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configuration and its presets."""
    return [ConfigSpec(model_type="olmo2", target="mf_olmo.config:Olmo2Config", presets=_PRESETS)]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the model with its language-model head."""
    return [ModelSpec(model_type="olmo2", target="mf_olmo.modeling:Olmo2ForCausalLM", heads=("base", "causal_lm"))]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer."""
    return [TokenizerSpec(model_type="olmo2", target="mf_olmo.tokenization:Olmo2Tokenizer")]
