"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec

_14B = {"hidden_size": 5120, "num_layers": 40, "num_heads": 40, "num_key_value_heads": 10, "intermediate_size": 17920}
_PRESETS = (
    Preset(
        name="phi3_mini", weights="hub:microsoft/Phi-3-mini-4k-instruct", license="MIT", parameters=3_821_079_552,
        config={"sliding_window": 2047, "eos_token_id": [32000, 32001, 32007]},
    ),
    Preset(
        name="phi3_medium", weights="hub:microsoft/Phi-3-medium-4k-instruct", license="MIT",
        parameters=13_960_238_080,
        config={**_14B, "sliding_window": 2047, "eos_token_id": [32000, 32001, 32007]},
    ),
    Preset(
        name="phi4", weights="hub:microsoft/phi-4", license="MIT", parameters=14_659_507_200,
        config={**_14B, "vocab_size": 100352, "seq_length": 16384, "rope_theta": 250000.0, "bos_token_id": 100257,
                "eos_token_id": [100257, 100265], "pad_token_id": 100349,
                "original_max_position_embeddings": 16384},
    ),
)  # fmt: skip


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configuration and its presets."""
    return [ConfigSpec(model_type="phi3", target="mf_phi.config:Phi3Config", presets=_PRESETS)]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the model with its language-model head."""
    return [ModelSpec(model_type="phi3", target="mf_phi.modeling:Phi3ForCausalLM", heads=("base", "causal_lm"))]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer."""
    return [TokenizerSpec(model_type="phi3", target="mf_phi.tokenization:Phi3Tokenizer")]
