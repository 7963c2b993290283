"""The family keeps to the rules for plugins."""

import numpy as np

from mf_core.testing import ModelContract

TOWER = {"hidden_size": 32, "num_layers": 1, "num_heads": 4, "intermediate_size": 48}


class TestCLIP(ModelContract):
    distribution = "mf-clip"
    model_type = "clip"
    head = "zero_shot_image_classification"
    config = {
        "text_config": {**TOWER, "vocab_size": 60, "seq_length": 24, "eos_token_id": 59},
        "vision_config": {**TOWER, "image_size": 16, "patch_size": 8}, "projection_dim": 12,
    }  # fmt: skip

    def arguments(self, rows, length=None, seed=0):
        found = super().arguments(rows, length, seed)
        found["input_ids"] = np.where(found["input_ids"] == 59, 1, found["input_ids"])
        found["input_ids"][:, -1] = 59  # every text has an end, whose hidden state stands for it
        return found
