"""The families keep to the rules for plugins."""

import numpy as np

from mf_core.testing import ModelContract

SIZES = {
    "hidden_size": 32, "num_layers": 1, "num_heads": 4, "intermediate_size": 48, "image_size": 16, "patch_size": 4,
}  # fmt: skip


class TestViTClassifier(ModelContract):
    distribution = "mf-vit"
    model_type = "vit"
    head = "image_classification"
    config = {**SIZES, "num_labels": 3}


class TestMaskedAutoencoder(ModelContract):
    distribution = "mf-vit"
    model_type = "vit_mae"
    head = "pretraining"
    config = {
        **SIZES, "decoder_hidden_size": 24, "decoder_num_layers": 1, "decoder_num_heads": 2,
        "decoder_intermediate_size": 40,
    }  # fmt: skip
    no_gradient = ("*position_embeddings", "*decoder_pos_embed")

    def arguments(self, rows, length=None, seed=0):
        noise = np.random.default_rng(seed).random((rows, 16)).astype(np.float32)
        return {**super().arguments(rows, length, seed), "noise": noise}
