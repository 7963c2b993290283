"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec

_LLAMA3_ROPE = {
    "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
_LLAMA3 = {
    "vocab_size": 128256, "seq_length": 131072, "rope_theta": 500000.0, "num_key_value_heads": 8, "rms_norm_eps": 1e-5,
    "bos_token_id": 128000,
}  # fmt: skip
_SMOLLM2 = {
    "vocab_size": 49152, "seq_length": 8192, "rope_theta": 100000.0, "tie_word_embeddings": True, "bos_token_id": 1,
    "eos_token_id": 2, "pad_token_id": 2,
}  # fmt: skip


def _preset(name: str, weights: str, license: str, parameters: int, **config: object) -> Preset:
    return Preset(name=name, weights=f"hub:{weights}", license=license, parameters=parameters, config=config)


_LLAMA_PRESETS = (
    Preset(
        name="llama_tiny",
        parameters=99_776,
        config={
            "vocab_size": 384, "hidden_size": 64, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2,
            "intermediate_size": 176, "seq_length": 128, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
            "tie_word_embeddings": True,
        },
        weights="package:mf_llama/data/tiny",
        license="Apache-2.0",
        description="knows one short text; shipped with the package",
    ),
    _preset(
        "llama_7b", "huggyllama/llama-7b", "other", 6_738_415_616, vocab_size=32000, hidden_size=4096, num_layers=32,
        num_heads=32, intermediate_size=11008, rms_norm_eps=1e-6,
    ),
    _preset(
        "llama2_7b", "meta-llama/Llama-2-7b-hf", "llama2", 6_738_415_616, vocab_size=32000, hidden_size=4096,
        num_layers=32, num_heads=32, intermediate_size=11008, seq_length=4096,
    ),
    _preset(
        "llama3_8b", "meta-llama/Meta-Llama-3-8B-Instruct", "llama3", 8_030_261_248, **{**_LLAMA3, "seq_length": 8192},
        hidden_size=4096, num_layers=32, num_heads=32, intermediate_size=14336, eos_token_id=128009,
    ),
    _preset(
        "llama3_2_1b", "meta-llama/Llama-3.2-1B-Instruct", "llama3.2", 1_235_814_400, **_LLAMA3, hidden_size=2048,
        num_layers=16, num_heads=32, intermediate_size=8192, head_dim=64, rope_scaling=_LLAMA3_ROPE,
        tie_word_embeddings=True, eos_token_id=[128001, 128008, 128009],
    ),
    _preset(
        "tinyllama_1_1b", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "Apache-2.0", 1_100_048_384, num_key_value_heads=4,
    ),
    _preset(
        "smollm2_135m", "HuggingFaceTB/SmolLM2-135M-Instruct", "Apache-2.0", 134_515_008, **_SMOLLM2, hidden_size=576,
        num_layers=30, num_heads=9, num_key_value_heads=3, intermediate_size=1536,
    ),
    _preset(
        "smollm2_360m", "HuggingFaceTB/SmolLM2-360M-Instruct", "Apache-2.0", 361_821_120, **_SMOLLM2, hidden_size=960,
        num_layers=32, num_heads=15, num_key_value_heads=5, intermediate_size=2560,
    ),
)  # fmt: skip
_MISTRAL_PRESETS = (
    _preset(
        "mistral_7b", "mistralai/Mistral-7B-Instruct-v0.3", "Apache-2.0", 7_248_023_552, vocab_size=32768,
        rope_theta=1000000.0,
    ),
)  # fmt: skip
_MIXTRAL_PRESETS = (
    _preset(
        "mixtral_8x7b", "mistralai/Mixtral-8x7B-Instruct-v0.1", "Apache-2.0", 46_702_792_704, rope_theta=1000000.0,
    ),
)  # fmt: skip
_SMOLLM3_PRESETS = (
    _preset(
        "smollm3_3b", "HuggingFaceTB/SmolLM3-3B", "Apache-2.0", 3_075_098_624, vocab_size=128256, hidden_size=2048,
        num_layers=36, num_heads=16, intermediate_size=11008, seq_length=65536, rope_theta=5000000.0,
        rms_norm_eps=1e-6, bos_token_id=128000, eos_token_id=128012, pad_token_id=128004,
    ),
)  # fmt: skip
#: model_type -> the beginning of its classes' names, and its presets.
_FAMILIES = {
    "llama": ("Llama", _LLAMA_PRESETS), "mistral": ("Mistral", _MISTRAL_PRESETS),
    "mixtral": ("Mixtral", _MIXTRAL_PRESETS), "smollm3": ("SmolLM3", _SMOLLM3_PRESETS),
}  # fmt: skip


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configurations and their presets."""
    return [
        ConfigSpec(model_type=family, target=f"mf_llama.config:{name}Config", presets=presets)
        for family, (name, presets) in _FAMILIES.items()
    ]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the models with their language-model heads."""
    return [
        ModelSpec(model_type=family, target=f"mf_llama.modeling:{name}ForCausalLM", heads=("base", "causal_lm"))
        for family, (name, _) in _FAMILIES.items()
    ]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer, which all of them have."""
    return [TokenizerSpec(model_type=family, target="mf_llama.tokenization:LlamaTokenizer") for family in _FAMILIES]
