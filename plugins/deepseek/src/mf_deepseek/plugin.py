"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec

_YARN = {
    "rope_type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1,
}  # fmt: skip
_V2_LICENSE = "LicenseRef-DeepSeek"
_LITE = {
    "q_lora_rank": None, "first_k_dense_replace": 1, "seq_length": 163840,
    "rope_scaling": {**_YARN, "mscale": 0.707, "mscale_all_dim": 0.707},
}  # fmt: skip
_V2_PRESETS = (
    Preset(
        name="deepseek_v2_lite", weights="hub:deepseek-ai/DeepSeek-V2-Lite", license=_V2_LICENSE,
        parameters=15_706_484_224, config=_LITE,
    ),
    Preset(
        name="deepseek_v2_lite_chat", weights="hub:deepseek-ai/DeepSeek-V2-Lite-Chat", license=_V2_LICENSE,
        parameters=15_706_484_224, config=_LITE,
    ),
    Preset(
        name="deepseek_v2", weights="hub:deepseek-ai/DeepSeek-V2", license=_V2_LICENSE, parameters=235_741_434_880,
        config={
            "hidden_size": 5120, "num_layers": 60, "num_heads": 128, "intermediate_size": 12288,
            "first_k_dense_replace": 1, "seq_length": 163840, "n_routed_experts": 160, "moe_intermediate_size": 1536,
            "topk_method": "group_limited_greedy", "n_group": 8, "topk_group": 3, "routed_scaling_factor": 16.0,
            "rope_scaling": {**_YARN, "mscale": 0.707, "mscale_all_dim": 0.707},
        },
    ),
)  # fmt: skip
_V3_PRESETS = (
    Preset(
        name="deepseek_v3", license="MIT", parameters=671_026_419_200, description="architecture",
        weights_note="the published weights are in 8 bits (FP8), which are not read; a directory that holds them in "
        "16 bits is used when it is found as deepseek_v3 under MF_MODELS",
        config={"seq_length": 163840, "rope_scaling": {**_YARN, "mscale": 1.0, "mscale_all_dim": 1.0}},
    ),
)  # fmt: skip
#: model_type -> the beginning of its classes' names, and its presets.
_FAMILIES = {"deepseek_v2": ("DeepseekV2", _V2_PRESETS), "deepseek_v3": ("DeepseekV3", _V3_PRESETS)}


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configurations and their presets."""
    return [
        ConfigSpec(model_type=family, target=f"mf_deepseek.config:{name}Config", presets=presets)
        for family, (name, presets) in _FAMILIES.items()
    ]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the models with their language-model heads."""
    return [
        ModelSpec(model_type=family, target=f"mf_deepseek.modeling:{name}ForCausalLM", heads=("base", "causal_lm"))
        for family, (name, _) in _FAMILIES.items()
    ]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer, which both of them have."""
    return [
        TokenizerSpec(model_type=family, target="mf_deepseek.tokenization:DeepseekTokenizer") for family in _FAMILIES
    ]
