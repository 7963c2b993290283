"""ViT (Dosovitskiy et al., 2021)."""

from __future__ import annotations

from typing import ClassVar

from mf_core.models import VisionForImageClassification, VisionModel

from .config import ViTConfig


class ViTModel(VisionModel):
    """ViT with its pooler."""

    config_class: ClassVar[type[ViTConfig]] = ViTConfig


class ViTForImageClassification(VisionForImageClassification):
    """ViT that classifies images."""

    config_class: ClassVar[type[ViTConfig]] = ViTConfig
