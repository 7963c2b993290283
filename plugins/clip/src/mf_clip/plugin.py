"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, ProcessorSpec, TokenizerSpec

_HEADS = ("base", "zero_shot_image_classification")


def _preset(name: str, weights: str, parameters: int, patch: int, *aliases: str) -> Preset:
    return Preset(
        name=name, weights=f"hub:{weights}", parameters=parameters, aliases=aliases, license="MIT",
        config={"vision_config": {"patch_size": patch}},
    )  # fmt: skip


_PRESETS = (
    _preset("clip_vit_b_32", "openai/clip-vit-base-patch32", 151_277_313, 32, "clip_vit_base_patch32"),
    _preset("clip_vit_b_16", "openai/clip-vit-base-patch16", 149_620_737, 16, "clip_vit_base_patch16"),
)


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configuration and its presets."""
    return [ConfigSpec(model_type="clip", target="mf_clip.config:CLIPConfig", presets=_PRESETS)]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the model."""
    return [ModelSpec(model_type="clip", target="mf_clip.modeling:CLIPModel", heads=_HEADS)]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer."""
    return [TokenizerSpec(model_type="clip", target="mf_clip.tokenization:CLIPTokenizer")]


@hookimpl
def mf_processors() -> list[ProcessorSpec]:
    """Return the processor."""
    return [ProcessorSpec(model_type="clip", target="mf_clip.processing:CLIPProcessor")]
