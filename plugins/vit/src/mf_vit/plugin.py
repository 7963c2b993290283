"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, ProcessorSpec


def _preset(name: str, weights: str, parameters: int, *aliases: str, **config: int) -> Preset:
    return Preset(
        name=name, weights=f"hub:{weights}", parameters=parameters, aliases=aliases, license="Apache-2.0", config=config
    )


_VIT = (
    _preset("vit_base_p16", "google/vit-base-patch16-224", 86_567_656, "vit_base_patch16_224", num_labels=1000),
    _preset(
        "vit_large_p16", "google/vit-large-patch16-224", 304_326_632, "vit_large_patch16_224", num_labels=1000,
        hidden_size=1024, num_layers=24, num_heads=16, intermediate_size=4096,
    ),
)  # fmt: skip
_MAE = (_preset("mae_vit_base_p16", "facebook/vit-mae-base", 111_907_840, "vit_mae_base"),)


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configurations and their presets."""
    return [
        ConfigSpec(model_type="vit", target="mf_vit.config:ViTConfig", presets=_VIT),
        ConfigSpec(model_type="vit_mae", target="mf_vit.config:ViTMAEConfig", presets=_MAE),
    ]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the models, each by its head."""
    vit, mae = "mf_vit.modeling", "mf_vit.masked_autoencoder"
    return [
        ModelSpec(model_type="vit", target=f"{vit}:ViTModel", heads=("base",)),
        ModelSpec(model_type="vit", target=f"{vit}:ViTForImageClassification", heads=("image_classification",)),
        ModelSpec(model_type="vit_mae", target=f"{mae}:ViTMAEModel", heads=("base",)),
        ModelSpec(model_type="vit_mae", target=f"{mae}:ViTMAEForPreTraining", heads=("pretraining",)),
    ]


@hookimpl
def mf_processors() -> list[ProcessorSpec]:
    """Return the image processor of each family."""
    return [
        ProcessorSpec(model_type=family, target="mf_vit.processing:ViTImageProcessor") for family in ("vit", "vit_mae")
    ]
