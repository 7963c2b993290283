"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec


def _bloom(
    name: str, weights: str, parameters: int, width: int, layers: int, heads: int, aliases: tuple[str, ...] = ()
) -> Preset:
    return Preset(
        name=f"bloom_{name}", weights=f"hub:bigscience/{weights}", license="LicenseRef-BigScience-BLOOM-RAIL-1.0",
        parameters=parameters, aliases=aliases,
        config={"hidden_size": width, "num_layers": layers, "num_heads": heads},
    )  # fmt: skip


_PRESETS = (
    _bloom("560m", "bloom-560m", 559_214_592, 1024, 24, 16),
    _bloom("1b1", "bloom-1b1", 1_065_314_304, 1536, 24, 16),
    _bloom("1b7", "bloom-1b7", 1_722_408_960, 2048, 24, 16),
    _bloom("3b", "bloom-3b", 3_002_557_440, 2560, 30, 32),
    _bloom("7b1", "bloom-7b1", 7_069_016_064, 4096, 30, 32, ("bloom_7.1b",)),
    _bloom("176b", "bloom", 176_247_271_424, 14336, 70, 112),
)


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configuration and its presets."""
    return [ConfigSpec(model_type="bloom", target="mf_bloom.config:BloomConfig", presets=_PRESETS)]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the model with its language-model head."""
    return [
        ModelSpec(model_type="bloom", target="mf_bloom.modeling:BloomForCausalLM", heads=("base", "causal_lm"))
    ]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer."""
    return [TokenizerSpec(model_type="bloom", target="mf_bloom.tokenization:BloomTokenizer")]
