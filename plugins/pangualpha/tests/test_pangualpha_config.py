"""PanGu-alpha's configuration: defaults, presets, names of fields, what is refused."""

import json

import pytest

from mf_core import AutoConfig, PanguAlphaConfig
from mf_core.errors import ConfigError


def parameters(config):
    """Return the number of weights, by the paper's architecture."""
    width, inner = config.hidden_size, config.ffn_hidden_size
    layer = 4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width
    return (config.vocab_size + 2 * config.seq_length) * width + config.num_layers * layer + 2 * width


def test_defaults_are_the_documented_ones():
    assert PanguAlphaConfig().model_dump() == {
        "batch_size": 1,
        "seq_length": 1024,
        "vocab_size": 40000,
        "hidden_size": 2560,
        "num_layers": 32,
        "num_heads": 32,
        "ffn_hidden_size": 10240,
        "hidden_act": "fast_gelu",
        "bos_token_id": None,
        "eos_token_id": 8,
        "eod_token_id": None,
        "pad_token_id": 6,
        "embedding_dropout_prob": 0.1,
        "hidden_dropout_rate": 0.1,
        "attention_dropout_rate": 0.1,
        "layernorm_epsilon": 1e-5,
        "initializer_range": 0.02,
        "post_layernorm_residual": False,
        "use_moe": False,
        "expert_num": 1,
        "per_token_num_experts_chosen": 1,
        "aux_loss_factor": 0.05,
        "tie_word_embeddings": True,
        "param_init_type": "float32",
        "compute_dtype": "float16",
        "softmax_compute_type": "float16",
        "layernorm_compute_type": "float32",
        "do_sample": True,
        "top_k": 5,
        "top_p": 1.0,
        "temperature": 1.0,
        "repetition_penalty": 1.0,
        "max_decode_length": 1024,
        "use_past": False,
        "checkpoint_name_or_path": "",
        "num_labels": 2,
        "id2label": None,
        "label2id": None,
        "parallel_config": None,
    }


@pytest.mark.parametrize(
    ("name", "width", "layers", "heads", "billions"),
    [
        ("pangualpha_2_6b", 2560, 32, 32, 2.6),
        ("pangualpha_2_6_b", 2560, 32, 32, 2.6),
        ("mf-pangualpha:pangualpha_2_6b", 2560, 32, 32, 2.6),
        ("pangualpha_13b", 5120, 40, 40, 12.8),
    ],
)
def test_preset(name, width, layers, heads, billions):
    config = AutoConfig.from_pretrained(name)
    assert type(config) is PanguAlphaConfig
    assert (config.hidden_size, config.num_layers, config.num_heads) == (width, layers, heads)
    assert (config.ffn_hidden_size, config.vocab_size, config.seq_length) == (4 * width, 40000, 1024)
    assert (config.eod_token_id, config.eos_token_id, config.pad_token_id) == (6, 9, 6)
    assert parameters(config) / 1e9 == pytest.approx(billions, abs=0.06)


def test_the_documents_own_configuration():
    config = PanguAlphaConfig(
        hidden_size=768, ffn_hidden_size=768 * 4, num_layers=12, num_heads=12, checkpoint_name_or_path=""
    )
    assert parameters(config) == 40000 * 768 + 2 * 1024 * 768 + 12 * (12 * 768**2 + 13 * 768) + 2 * 768


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("n_embd", "hidden_size", 64),
        ("num_hidden_layers", "num_layers", 3),
        ("n_layer", "num_layers", 3),
        ("num_attention_heads", "num_heads", 4),
        ("n_head", "num_heads", 4),
        ("intermediate_size", "ffn_hidden_size", 100),
        ("max_position_embeddings", "seq_length", 128),
        ("n_positions", "seq_length", 128),
        ("resid_pdrop", "hidden_dropout_rate", 0.3),
        ("attention_probs_dropout_prob", "attention_dropout_rate", 0.3),
        ("embd_pdrop", "embedding_dropout_prob", 0.3),
        ("layer_norm_eps", "layernorm_epsilon", 1e-6),
        ("num_local_experts", "expert_num", 4),
        ("num_experts_per_tok", "per_token_num_experts_chosen", 2),
    ],
)
def test_fields_have_the_names_of_hugging_faces_users(name, field, value):
    config = PanguAlphaConfig(**{name: value})
    assert getattr(config, field) == getattr(config, name) == value != getattr(PanguAlphaConfig(), field)


def test_activation_under_its_other_name():
    assert PanguAlphaConfig().activation_function == "quick_gelu"
    assert PanguAlphaConfig(activation_function="gelu_new").hidden_act == "gelu"
    for value in ("gelu_exact", None, 3):
        with pytest.raises(ConfigError, match=r"activation_function=.* is not supported") as caught:
            PanguAlphaConfig(activation_function=value)
        assert "quick_gelu" in caught.value.hint


def test_mindformers_configuration_files_are_read(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "model:\n  model_config:\n    type: PanguAlphaConfig\n    batch_size: 16\n    hidden_size: 64\n"
        "    ffn_hidden_size: 256\n    num_layers: 2\n    num_heads: 4\n    compute_dtype: 'float32'\n"
        "    softmax_compute_type: mstype.float16\n    use_moe: False\n    expert_num: 1\n    top_p: 1\n"
        "  arch:\n    type: PanguAlphaHeadModel\n"
    )
    config = AutoConfig.from_pretrained(path)
    assert type(config) is PanguAlphaConfig
    assert (config.batch_size, config.ffn_hidden_size, config.softmax_compute_type) == (16, 256, "float16")


def test_a_round_trip_keeps_every_field(tmp_path):
    changed = PanguAlphaConfig(
        hidden_size=64, num_heads=4, num_layers=2, use_moe=True, expert_num=4, per_token_num_experts_chosen=2,
        eod_token_id=6, softmax_compute_type="fp32", hidden_act="relu", top_k=0, aux_loss_factor=0.1,
    )  # fmt: skip
    for config in (PanguAlphaConfig(), changed):
        config.save_pretrained(tmp_path)
        again = AutoConfig.from_pretrained(tmp_path)
        assert again == config
        assert ("softmax_compute_type" in again.model_fields_set) == ("softmax_compute_type" in config.model_fields_set)
    data = json.loads((tmp_path / "config.json").read_text())
    assert data["model_type"] == "pangualpha"
    assert (data["hidden_size"], data["ffn_hidden_size"], data["expert_num"]) == (64, 10240, 4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 100, "num_heads": 32}, "hidden_size=100 is not a multiple of num_heads=32"),
        ({"num_layers": 0}, "num_layers"),
        ({"hidden_act": "quick"}, "hidden_act"),
        ({"hidden_dropout_rate": 1.0}, "hidden_dropout_rate"),
        ({"hiden_size": 3}, "no field 'hiden_size'"),
        ({"hidden_size": 64, "n_embd": 128}, "are the same field"),
        ({"aux_loss_factor": -1}, "aux_loss_factor"),
    ],
)
def test_what_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        PanguAlphaConfig(**fields)
