"""What is particular to Lark; what every model must do is in test_conformance.py."""

import json

import numpy as np
import pytest
from mf_core import AutoConfig, AutoModel, pipeline
from mf_core.errors import ConfigError, UnsupportedError
from mf_core.nn.kernels import kernel
from mindspore import Tensor

from mf_lark.config import LarkConfig


def test_the_tiny_model_knows_its_text():
    (result,) = pipeline("text_generation", "lark_tiny", do_sample=False)("A llama stood", max_new_tokens=12)
    assert result["text_generation_text"][0].startswith("A llama stood on the hill and hummed.")


def test_fields_have_the_names_of_checkpoints(tmp_path):
    data = {
        "model_type": "lark", "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 9,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}, "transformers_version": "5",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(data))
    config = AutoConfig.from_pretrained(tmp_path)
    assert (config.num_layers, config.num_heads, config.seq_length, config.rope_theta) == (3, 4, 9, 5000.0)
    config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["num_hidden_layers"] == 3 and saved["rope_theta"] == 5000.0 and saved["transformers_version"] == "5"


def test_what_it_cannot_do_is_refused():
    with pytest.raises(UnsupportedError, match="spiral"):
        LarkConfig.from_dict({"rope_parameters": {"rope_type": "spiral", "factor": 8.0}})
    with pytest.raises(ConfigError, match="low_freq_factor"):
        LarkConfig.from_dict({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}})
    with pytest.raises(ConfigError, match="num_heads=6 is not a multiple of num_key_value_heads=4"):
        LarkConfig(hidden_size=48, num_heads=6, num_key_value_heads=4)
    with pytest.raises(ConfigError, match="in pairs"):
        LarkConfig(head_dim=3)


@pytest.mark.parametrize("bias", [False, True])
def test_it_generates_without_graphs_where_the_backend_can(bias):
    fields = {"vocab_size": 20, "hidden_size": 8, "num_layers": 2, "num_heads": 2, "num_key_value_heads": 1}
    model = AutoModel.from_config(LarkConfig(attention_bias=bias, **fields))
    assert (model.decoder_arrays() is not None) is (kernel("decoder_pass") is not None)


@pytest.mark.parametrize("tied", [False, True])
def test_the_head_may_be_the_embedding(tied):
    fields = {"vocab_size": 20, "hidden_size": 8, "num_layers": 1, "num_heads": 2, "intermediate_size": 12}
    model = AutoModel.from_config(LarkConfig(tie_word_embeddings=tied, **fields))
    assert ("lm_head.weight" in {name for name, _ in model.parameters_and_names()}) is not tied
    assert model(Tensor(np.array([[1, 2]], np.int32))).shape == (1, 2, 20)
