"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec

_GLM_PRESETS = (
    Preset(
        name="glm_4_9b", aliases=("glm4_9b",), weights="hub:zai-org/glm-4-9b-hf", license="LicenseRef-GLM-4",
        parameters=9_399_951_360, config={"seq_length": 8192},
    ),
    Preset(
        name="glm_4_9b_chat", aliases=("glm4_9b_chat",), weights="hub:zai-org/glm-4-9b-chat-hf",
        license="LicenseRef-GLM-4", parameters=9_399_951_360,
    ),
)  # fmt: skip
#: What GLM-4-0414 has in common.
_0414 = {"seq_length": 32768, "rms_norm_eps": 1e-5}
_GLM4_PRESETS = (
    Preset(
        name="glm_4_9b_0414", weights="hub:zai-org/GLM-4-9B-0414", license="MIT", parameters=9_400_279_040,
        config=_0414,
    ),
    Preset(
        name="glm_4_32b_0414", weights="hub:zai-org/GLM-4-32B-0414", license="MIT", parameters=32_566_081_536,
        config={
            **_0414, "hidden_size": 6144, "num_layers": 61, "num_heads": 48, "intermediate_size": 23040,
            "attention_bias": False,
        },
    ),
)  # fmt: skip
#: model_type -> the beginning of its classes' names, and its presets.
_FAMILIES = {"glm": ("Glm", _GLM_PRESETS), "glm4": ("Glm4", _GLM4_PRESETS)}


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configurations and their presets."""
    return [
        ConfigSpec(model_type=family, target=f"mf_glm.config:{name}Config", presets=presets)
        for family, (name, presets) in _FAMILIES.items()
    ]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the models with their language-model heads."""
    return [
        ModelSpec(model_type=family, target=f"mf_glm.modeling:{name}ForCausalLM", heads=("base", "causal_lm"))
        for family, (name, _) in _FAMILIES.items()
    ]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer, which both of them have."""
    return [TokenizerSpec(model_type=family, target="mf_glm.tokenization:GlmTokenizer") for family in _FAMILIES]
