"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec

_LLAMA3_ROPE = {
    "rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
}  # fmt: skip
_LLAMA3 = {
    "vocab_size": 128256, "num_key_value_heads": 8, "rope_theta": 500000.0, "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009],
}  # fmt: skip


def _llama3(factor: float) -> dict[str, object]:
    return {**_LLAMA3, "seq_length": 131072, "rope_scaling": {**_LLAMA3_ROPE, "factor": factor}}


_7B = {"hidden_size": 4096, "num_layers": 32, "num_heads": 32, "intermediate_size": 11008}
_13B = {"hidden_size": 5120, "num_layers": 40, "num_heads": 40, "intermediate_size": 13824}
_8B = {"hidden_size": 4096, "num_layers": 32, "num_heads": 32, "intermediate_size": 14336}
_SMOL = {
    "vocab_size": 49152, "seq_length": 8192, "rope_theta": 100000.0, "tie_word_embeddings": True, "pad_token_id": 2,
}  # fmt: skip

_LLAMA_PRESETS = (
    Preset(
        name="llama_tiny", weights="package:mf_llama/data/tiny", license="Apache-2.0", parameters=117_056,
        description="knows one short text; shipped with the package, for trying out",
        config={"vocab_size": 384, "hidden_size": 64, "num_layers": 2, "num_heads": 4, "num_key_value_heads": 2,
                "intermediate_size": 176, "seq_length": 128, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
                "tie_word_embeddings": True},
    ),
    Preset(
        name="tinyllama_1_1b", weights="hub:TinyLlama/TinyLlama-1.1B-Chat-v1.0", license="Apache-2.0",
        parameters=1_100_048_384, config={"num_key_value_heads": 4},
    ),
    Preset(
        name="smollm2_135m", weights="hub:HuggingFaceTB/SmolLM2-135M-Instruct", license="Apache-2.0",
        parameters=134_515_008,
        config={**_SMOL, "hidden_size": 576, "num_layers": 30, "num_heads": 9, "num_key_value_heads": 3,
                "intermediate_size": 1536},
    ),
    Preset(
        name="smollm2_360m", weights="hub:HuggingFaceTB/SmolLM2-360M-Instruct", license="Apache-2.0",
        parameters=361_821_120,
        config={**_SMOL, "hidden_size": 960, "num_layers": 32, "num_heads": 15, "num_key_value_heads": 5,
                "intermediate_size": 2560},
    ),
    Preset(
        name="smollm2_1_7b", weights="hub:HuggingFaceTB/SmolLM2-1.7B-Instruct", license="Apache-2.0",
        parameters=1_711_376_384,
        config={**_SMOL, "rope_theta": 130000.0, "hidden_size": 2048, "num_layers": 24, "num_heads": 32,
                "intermediate_size": 8192},
    ),
    Preset(
        name="llama_7b", weights="hub:huggyllama/llama-7b", license="LicenseRef-LLaMA-1", parameters=6_738_415_616,
        config={**_7B, "rms_norm_eps": 1e-6},
    ),
    Preset(
        name="llama_13b", weights="hub:huggyllama/llama-13b", license="LicenseRef-LLaMA-1",
        parameters=13_015_864_320, config={**_13B, "rms_norm_eps": 1e-6},
    ),
    Preset(
        name="llama_65b", weights="hub:huggyllama/llama-65b", license="LicenseRef-LLaMA-1",
        parameters=65_285_660_672,
        config={"hidden_size": 8192, "num_layers": 80, "num_heads": 64, "intermediate_size": 22016},
    ),
    Preset(
        name="llama2_7b", weights="hub:meta-llama/Llama-2-7b-hf", license="LicenseRef-Llama-2",
        parameters=6_738_415_616, config={**_7B, "seq_length": 4096},
    ),
    Preset(
        name="llama2_13b", weights="hub:meta-llama/Llama-2-13b-hf", license="LicenseRef-Llama-2",
        parameters=13_015_864_320, config={**_13B, "seq_length": 4096},
    ),
    Preset(
        name="llama2_70b", weights="hub:meta-llama/Llama-2-70b-hf", license="LicenseRef-Llama-2",
        parameters=68_976_648_192,
        config={"hidden_size": 8192, "num_layers": 80, "num_heads": 64, "num_key_value_heads": 8,
                "intermediate_size": 28672, "seq_length": 4096},
    ),
    Preset(
        name="codellama_34b", weights="hub:codellama/CodeLlama-34b-hf", license="LicenseRef-Llama-2",
        parameters=33_743_970_304,
        config={"hidden_size": 8192, "num_layers": 48, "num_heads": 64, "num_key_value_heads": 8,
                "intermediate_size": 22016, "seq_length": 16384, "rope_theta": 1000000.0},
    ),
    Preset(
        name="llama3_8b", weights="hub:meta-llama/Meta-Llama-3-8B-Instruct", license="LicenseRef-Llama-3",
        parameters=8_030_261_248, config={**_8B, **_LLAMA3, "seq_length": 8192, "eos_token_id": [128001, 128009]},
    ),
    Preset(
        name="llama3_1_8b", weights="hub:meta-llama/Llama-3.1-8B-Instruct", license="LicenseRef-Llama-3.1",
        parameters=8_030_261_248, config={**_8B, **_llama3(8.0)},
    ),
    Preset(
        name="llama3_2_1b", weights="hub:meta-llama/Llama-3.2-1B-Instruct", license="LicenseRef-Llama-3.2",
        parameters=1_235_814_400,
        config={**_llama3(32.0), "num_layers": 16, "intermediate_size": 8192, "tie_word_embeddings": True},
    ),
    Preset(
        name="llama3_2_3b", weights="hub:meta-llama/Llama-3.2-3B-Instruct", license="LicenseRef-Llama-3.2",
        parameters=3_212_749_824,
        config={**_llama3(32.0), "hidden_size": 3072, "num_layers": 28, "num_heads": 24, "intermediate_size": 8192,
                "tie_word_embeddings": True},
    ),
)  # fmt: skip

_MISTRAL_PRESETS = (
    Preset(
        name="mistral_7b", weights="hub:mistralai/Mistral-7B-v0.1", license="Apache-2.0", parameters=7_241_732_096,
        config={"sliding_window": 4096},
    ),
    Preset(
        name="mistral_7b_instruct", weights="hub:mistralai/Mistral-7B-Instruct-v0.3", license="Apache-2.0",
        parameters=7_248_023_552, config={"vocab_size": 32768, "rope_theta": 1000000.0},
    ),
)  # fmt: skip

_MIXTRAL_PRESETS = (
    Preset(
        name="mixtral_8x7b", weights="hub:mistralai/Mixtral-8x7B-Instruct-v0.1", license="Apache-2.0",
        parameters=46_702_792_704, config={"rope_theta": 1000000.0},
    ),
)  # fmt: skip

_SMOLLM3_PRESETS = (
    Preset(name="smollm3_3b", weights="hub:HuggingFaceTB/SmolLM3-3B", license="Apache-2.0", parameters=3_075_098_624),
)

#: model_type -> the beginning of its classes' names, and its presets.
_FAMILIES = {
    "llama": ("Llama", _LLAMA_PRESETS), "mistral": ("Mistral", _MISTRAL_PRESETS),
    "mixtral": ("Mixtral", _MIXTRAL_PRESETS), "smollm3": ("SmolLM3", _SMOLLM3_PRESETS),
}  # fmt: skip

_HEADS = {"ForCausalLM": ("base", "causal_lm"), "ForSequenceClassification": ("sequence_classification",)}


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configurations and their presets."""
    return [
        ConfigSpec(model_type=family, target=f"mf_llama.config:{name}Config", presets=presets)
        for family, (name, presets) in _FAMILIES.items()
    ]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the models with their language-model heads, and with those of classifiers."""
    return [
        ModelSpec(model_type=family, target=f"mf_llama.modeling:{name}{ending}", heads=heads)
        for family, (name, _) in _FAMILIES.items()
        for ending, heads in _HEADS.items()
    ]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer, which all of them have."""
    return [TokenizerSpec(model_type=family, target="mf_llama.tokenization:LlamaTokenizer") for family in _FAMILIES]
