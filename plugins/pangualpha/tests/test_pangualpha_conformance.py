"""PanGu-alpha keeps to the rules for plugins, with experts and without."""

from pathlib import Path

import mf_pangualpha

from mf_core.testing import ModelContract, ProcessorContract, TokenizerContract

TINY = Path(mf_pangualpha.__file__).parent / "data" / "tiny"
SMALL = {
    "vocab_size": 96, "hidden_size": 32, "ffn_hidden_size": 64, "num_layers": 2, "num_heads": 4, "seq_length": 64,
}  # fmt: skip


class TestPanguAlphaModel(ModelContract):
    distribution = "mf-pangualpha"
    model_type = "pangualpha"
    config = SMALL


class TestPanguAlphaModelWithExperts(TestPanguAlphaModel):
    config = {**SMALL, "use_moe": True, "expert_num": 2}
    # Experts make no difference to other processes, which take seconds each.
    test_saved_model_says_the_same_in_another_process = None
    test_config_and_class_cross_to_another_process = None


class TestPanguAlphaTokenizer(TokenizerContract):
    distribution = "mf-pangualpha"
    model_type = "pangualpha"
    source = TINY


class TestPanguAlphaProcessor(ProcessorContract):
    distribution = "mf-pangualpha"
    model_type = "pangualpha"
    source = TINY
