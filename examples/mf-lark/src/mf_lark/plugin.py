"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec

_PRESETS = (
    Preset(
        name="lark_tiny",
        config={
            "vocab_size": 384, "hidden_size": 64, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2,
            "intermediate_size": 176, "seq_length": 128, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
            "tie_word_embeddings": True,
        },
        weights="package:mf_lark/data/tiny",
        license="Apache-2.0",
        description="0.1 M parameters that know one short text, shipped with the package",
    ),
)  # fmt: skip


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configuration and its presets."""
    return [ConfigSpec(model_type="lark", target="mf_lark.config:LarkConfig", presets=_PRESETS)]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the model with its language-model head."""
    return [ModelSpec(model_type="lark", target="mf_lark.modeling:LarkForCausalLM", heads=("base", "causal_lm"))]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer."""
    return [TokenizerSpec(model_type="lark", target="mf_lark.tokenization:LarkTokenizer")]
