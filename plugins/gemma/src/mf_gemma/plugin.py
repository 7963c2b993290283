"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec


def _preset(name: str, weights: str, parameters: int, **config: object) -> Preset:
    return Preset(
        name=name, weights=f"hub:google/{weights}", license="LicenseRef-Gemma", parameters=parameters, config=config
    )


_GEMMA2_PRESETS = (
    _preset("gemma2_2b", "gemma-2-2b-it", 2_614_341_888, eos_token_id=[1, 107]),
    _preset(
        "gemma2_9b", "gemma-2-9b-it", 9_241_705_984, hidden_size=3584, num_layers=42, num_heads=16,
        num_key_value_heads=8, intermediate_size=14336, eos_token_id=[1, 107],
    ),
    _preset(
        "gemma2_27b", "gemma-2-27b-it", 27_227_128_320, hidden_size=4608, num_layers=46, num_heads=32,
        num_key_value_heads=16, head_dim=128, intermediate_size=36864, query_pre_attn_scalar=144,
        eos_token_id=[1, 107],
    ),
)  # fmt: skip
_GEMMA3_PRESETS = (
    _preset(
        "gemma3_270m", "gemma-3-270m-it", 268_098_176, hidden_size=640, num_layers=18, num_heads=4,
        num_key_value_heads=1, intermediate_size=2048, seq_length=32768, sliding_window=512, eos_token_id=[1, 106],
    ),
    _preset(
        "gemma3_1b", "gemma-3-1b-it", 999_885_952, hidden_size=1152, num_heads=4, num_key_value_heads=1,
        intermediate_size=6912, seq_length=32768, sliding_window=512, eos_token_id=[1, 106],
    ),
)  # fmt: skip
#: model_type -> its configuration, its model, and its presets.
_FAMILIES = {
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM", _GEMMA2_PRESETS),
    "gemma3_text": ("Gemma3TextConfig", "Gemma3ForCausalLM", _GEMMA3_PRESETS),
}


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configurations and their presets."""
    return [
        ConfigSpec(model_type=family, target=f"mf_gemma.config:{config}", presets=presets)
        for family, (config, _, presets) in _FAMILIES.items()
    ]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the models with their language-model heads."""
    return [
        ModelSpec(model_type=family, target=f"mf_gemma.modeling:{model}", heads=("base", "causal_lm"))
        for family, (_, model, _) in _FAMILIES.items()
    ]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer, which both have."""
    return [TokenizerSpec(model_type=family, target="mf_gemma.tokenization:GemmaTokenizer") for family in _FAMILIES]
