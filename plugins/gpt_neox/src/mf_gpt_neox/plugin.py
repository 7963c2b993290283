"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec


def _pythia(name: str, parameters: int, width: int, layers: int, heads: int, vocabulary: int = 50304) -> Preset:
    return Preset(
        name=f"pythia_{name.replace('.', '_')}", weights=f"hub:EleutherAI/pythia-{name}", license="Apache-2.0",
        parameters=parameters,
        config={
            "vocab_size": vocabulary, "hidden_size": width, "num_layers": layers, "num_heads": heads,
            "intermediate_size": 4 * width,
        },
    )  # fmt: skip


_PRESETS = (
    _pythia("70m", 70_426_624, 512, 6, 8),
    _pythia("160m", 162_322_944, 768, 12, 12),
    _pythia("410m", 405_334_016, 1024, 24, 16),
    _pythia("1b", 1_011_781_632, 2048, 16, 8),
    _pythia("1.4b", 1_414_647_808, 2048, 24, 16),
    _pythia("2.8b", 2_775_208_960, 2560, 32, 32),
    _pythia("6.9b", 6_857_302_016, 4096, 32, 32, 50432),
    _pythia("12b", 11_846_072_320, 5120, 36, 40, 50688),
    Preset(
        name="gpt_neox_20b", weights="hub:EleutherAI/gpt-neox-20b", license="Apache-2.0", parameters=20_554_567_680,
        config={"hidden_act": "gelu_fast"},
    ),
)  # fmt: skip


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configuration and its presets."""
    return [ConfigSpec(model_type="gpt_neox", target="mf_gpt_neox.config:GPTNeoXConfig", presets=_PRESETS)]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the model with its language-model head."""
    target = "mf_gpt_neox.modeling:GPTNeoXForCausalLM"
    return [ModelSpec(model_type="gpt_neox", target=target, heads=("base", "causal_lm"))]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer."""
    return [TokenizerSpec(model_type="gpt_neox", target="mf_gpt_neox.tokenization:GPTNeoXTokenizer")]
