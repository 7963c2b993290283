"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec

_14B = {"hidden_size": 5120, "num_layers": 40, "num_heads": 40, "num_key_value_heads": 10, "intermediate_size": 17920}
#: Phi-4-mini's LongRoPE: 48 pairs of a head's elements are rotated.
_LONG = [
    1.0, 1.118320672, 1.250641126, 1.398617824, 1.564103225, 1.74916897, 1.956131817, 2.187582649, 2.446418898,
    2.735880826, 3.059592084, 3.421605075, 3.826451687, 4.279200023, 4.785517845, 5.351743533, 5.984965424,
    6.693110555, 7.485043894, 8.370679318, 9.36110372, 10.4687158, 11.70738129, 13.09260651, 14.64173252, 16.37415215,
    18.31155283, 20.47818807, 22.90118105, 25.61086418, 28.64115884, 32.03, 32.1, 32.13, 32.23, 32.6, 32.61, 32.64,
    32.66, 32.7, 32.71, 32.93, 32.97, 33.28, 33.49, 33.5, 44.16, 47.77,
]  # fmt: skip
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
        name="phi4_mini", weights="hub:microsoft/Phi-4-mini-instruct", license="MIT", parameters=3_836_021_760,
        config={"vocab_size": 200064, "num_heads": 24, "num_key_value_heads": 8, "seq_length": 131072,
                "partial_rotary_factor": 0.75, "tie_word_embeddings": True, "sliding_window": 262144,
                "rope_scaling": {"rope_type": "longrope", "short_factor": [1.0] * 48, "long_factor": _LONG},
                "bos_token_id": 199999, "eos_token_id": [200020, 199999], "pad_token_id": 199999},
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
