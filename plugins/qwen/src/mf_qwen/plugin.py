"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec


def _preset(name: str, weights: str, parameters: int, *, license: str = "Apache-2.0", **config: object) -> Preset:
    return Preset(name=name, weights=f"hub:Qwen/{weights}", license=license, parameters=parameters, config=config)


_QWEN2_PRESETS = (
    _preset("qwen2_5_0_5b", "Qwen2.5-0.5B-Instruct", 494_032_768, tie_word_embeddings=True, eos_token_id=151645),
    _preset(
        "qwen2_5_1_5b", "Qwen2.5-1.5B-Instruct", 1_543_714_304, hidden_size=1536, num_layers=28, num_heads=12,
        intermediate_size=8960, tie_word_embeddings=True, eos_token_id=151645,
    ),
    _preset(
        "qwen2_5_7b", "Qwen2.5-7B-Instruct", 7_615_616_512, vocab_size=152064, hidden_size=3584, num_layers=28,
        num_heads=28, num_key_value_heads=4, intermediate_size=18944, eos_token_id=151645,
    ),
)  # fmt: skip
_QWEN3_PRESETS = (
    _preset("qwen3_0_6b", "Qwen3-0.6B", 596_049_920, tie_word_embeddings=True, eos_token_id=151645),
    _preset(
        "qwen3_1_7b", "Qwen3-1.7B", 1_720_574_976, hidden_size=2048, intermediate_size=6144, tie_word_embeddings=True,
        eos_token_id=151645,
    ),
    _preset(
        "qwen3_4b", "Qwen3-4B", 4_022_468_096, hidden_size=2560, num_layers=36, num_heads=32, intermediate_size=9728,
        tie_word_embeddings=True, eos_token_id=151645,
    ),
    _preset(
        "qwen3_8b", "Qwen3-8B", 8_190_735_360, hidden_size=4096, num_layers=36, num_heads=32, intermediate_size=12288,
        eos_token_id=151645,
    ),
)  # fmt: skip
_QWEN3_MOE_PRESETS = (
    _preset(
        "qwen3_30b_a3b", "Qwen3-30B-A3B", 30_532_122_624, hidden_size=2048, num_layers=48, num_heads=32,
        num_key_value_heads=4, intermediate_size=6144, norm_topk_prob=True, eos_token_id=151645,
    ),
)  # fmt: skip
#: model_type -> the beginning of its classes' names, and its presets.
_FAMILIES = {
    "qwen2": ("Qwen2", _QWEN2_PRESETS), "qwen3": ("Qwen3", _QWEN3_PRESETS),
    "qwen3_moe": ("Qwen3Moe", _QWEN3_MOE_PRESETS),
}  # fmt: skip

_HEADS = {"ForCausalLM": ("base", "causal_lm"), "ForSequenceClassification": ("sequence_classification",)}


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configurations and their presets."""
    return [
        ConfigSpec(model_type=family, target=f"mf_qwen.config:{name}Config", presets=presets)
        for family, (name, presets) in _FAMILIES.items()
    ]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the models with their language-model heads, and with those of classifiers."""
    return [
        ModelSpec(model_type=family, target=f"mf_qwen.modeling:{name}{ending}", heads=heads)
        for family, (name, _) in _FAMILIES.items()
        for ending, heads in _HEADS.items()
    ]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer, which all of them have."""
    return [TokenizerSpec(model_type=family, target="mf_qwen.tokenization:Qwen2Tokenizer") for family in _FAMILIES]
