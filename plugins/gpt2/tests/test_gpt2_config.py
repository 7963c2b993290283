"""GPT-2's configuration: the presets' sizes, the keys of Hugging Face's files, and what the model has not."""

import json

import pytest

from mf_core import AutoConfig, GPT2Config, PretrainedConfig
from mf_core.errors import ConfigError, UnsupportedError

#: config.json of openai-community/gpt2.
PUBLISHED = {
    "activation_function": "gelu_new",
    "architectures": ["GPT2LMHeadModel"],
    "attn_pdrop": 0.1,
    "bos_token_id": 50256,
    "embd_pdrop": 0.1,
    "eos_token_id": 50256,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "resid_pdrop": 0.1,
    "summary_activation": None,
    "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True,
    "summary_type": "cls_index",
    "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    "vocab_size": 50257,
}


def read(folder, **keys):
    """Return the configuration of a config.json with these keys."""
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", **keys}))
    return AutoConfig.from_pretrained(folder)


def written(config, folder):
    config.save_pretrained(folder)
    return json.loads((folder / "config.json").read_text())


def parameters(config):
    """Return the number of weights, by the paper's architecture."""
    width, inner = config.hidden_size, config.ffn_size
    layer = 4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width
    return (config.vocab_size + config.seq_length) * width + config.num_layers * layer + 2 * width


# Presets ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "width", "layers", "heads", "weights"),
    [
        ("gpt2", 768, 12, 12, 124_439_808),
        ("gpt2_medium", 1024, 24, 16, 354_823_168),
        ("gpt2_large", 1280, 36, 20, 774_030_080),
        ("gpt2_xl", 1600, 48, 25, 1_557_611_200),
        ("gpt2_13b", 5120, 40, 40, 12_848_143_360),
    ],
)
def test_preset(name, width, layers, heads, weights):
    config = AutoConfig.from_pretrained(name)
    assert config == GPT2Config(hidden_size=width, num_layers=layers, num_heads=heads)
    assert (config.hidden_size, config.num_layers, config.num_heads) == (width, layers, heads)
    assert (config.vocab_size, config.seq_length, config.ffn_size) == (50257, 1024, 4 * width)
    assert config.hidden_act == "gelu"
    assert parameters(config) == weights


def test_shipped_preset_is_what_its_weights_are(tmp_path):
    from mf_core import AutoModel, AutoTokenizer

    config = AutoConfig.from_pretrained("gpt2_tiny")
    assert (config.hidden_size, config.num_layers, config.num_heads, config.seq_length) == (128, 4, 4, 256)
    model, tokenizer = AutoModel.from_pretrained("gpt2_tiny"), AutoTokenizer.from_pretrained("gpt2_tiny")
    assert model.num_parameters() == parameters(config)
    assert len(tokenizer) == config.vocab_size
    assert tokenizer.model_max_length == config.seq_length
    for name in ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id"):
        assert getattr(tokenizer, name) == getattr(config, name)


def test_defaults_are_the_documented_ones():
    assert GPT2Config().model_dump() == {
        "batch_size": 1,
        "seq_length": 1024,
        "vocab_size": 50257,
        "hidden_size": 768,
        "num_layers": 12,
        "num_heads": 12,
        "expand_ratio": 4,
        "intermediate_size": None,
        "hidden_act": "gelu",
        "bos_token_id": 50256,
        "eos_token_id": 50256,
        "pad_token_id": 50256,
        "unk_token_id": 50256,
        "embedding_dropout_prob": 0.1,
        "hidden_dropout_rate": 0.1,
        "attention_dropout_rate": 0.1,
        "layernorm_epsilon": 1e-5,
        "initializer_range": 0.02,
        "post_layernorm_residual": False,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "tie_word_embeddings": True,
        "param_init_type": "float32",
        "compute_dtype": "float16",
        "softmax_compute_type": "float32",
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


def test_every_field_is_documented():
    documented = "".join(base.__doc__ or "" for base in GPT2Config.__mro__ if issubclass(base, PretrainedConfig))
    assert [name for name in GPT2Config.model_fields if name not in documented] == []


# Hugging Face's files -----------------------------------------------------------------------------------------------


def test_published_file_is_the_preset_and_keeps_every_key(tmp_path):
    config = read(tmp_path, **PUBLISHED)
    assert config.model_dump() == GPT2Config().model_dump()
    again = written(config, tmp_path / "again")
    assert {key: again[key] for key in PUBLISHED} == PUBLISHED
    assert set(again) - set(PUBLISHED) == {"n_inner"}  # null, as there it is by default
    assert again["n_inner"] is None
    assert AutoConfig.from_pretrained(tmp_path / "again") == config


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("n_positions", 77, "seq_length"),
        ("vocab_size", 77, "vocab_size"),
        ("n_embd", 96, "hidden_size"),
        ("n_layer", 7, "num_layers"),
        ("n_head", 8, "num_heads"),
        ("n_inner", 77, "intermediate_size"),
        ("bos_token_id", 7, "bos_token_id"),
        ("eos_token_id", 7, "eos_token_id"),
        ("pad_token_id", 7, "pad_token_id"),
        ("embd_pdrop", 0.7, "embedding_dropout_prob"),
        ("resid_pdrop", 0.7, "hidden_dropout_rate"),
        ("attn_pdrop", 0.7, "attention_dropout_rate"),
        ("layer_norm_epsilon", 1e-7, "layernorm_epsilon"),
        ("initializer_range", 0.7, "initializer_range"),
        ("scale_attn_weights", False, "scale_attn_weights"),
        ("scale_attn_by_inverse_layer_idx", True, "scale_attn_by_inverse_layer_idx"),
    ],
)
def test_key_of_a_file_is_a_field_and_is_written_back(tmp_path, key, value, field):
    config = read(tmp_path, **{key: value})
    assert getattr(config, field) == getattr(config, key) == value
    assert config.extra == {}
    assert config == GPT2Config(**{field: value})
    assert written(GPT2Config(**{field: value}), tmp_path / "again")[key] == value


def test_newer_names_of_keys_are_known(tmp_path):
    config = read(tmp_path, max_position_embeddings=77, hidden_size=96, num_hidden_layers=7, num_attention_heads=8)
    assert (config.n_positions, config.n_embd, config.n_layer, config.n_head) == (77, 96, 7, 8)


# Activation: "gelu" is the exact one in files, and the tanh form in MindFormers' field --------------------------------


@pytest.mark.parametrize(
    ("in_file", "field", "back"),
    [
        ("gelu_new", "gelu", "gelu_new"),
        ("gelu_pytorch_tanh", "gelu_pytorch_tanh", "gelu_pytorch_tanh"),
        ("gelu_fast", "gelu_fast", "gelu_fast"),
        ("quick_gelu", "fast_gelu", "quick_gelu"),
        ("gelu", "gelu_exact", "gelu"),
        ("relu", "relu", "relu"),
        ("silu", "silu", "silu"),
        ("swish", "swish", "swish"),
    ],
)
def test_activation_of_a_file(tmp_path, in_file, field, back):
    config = read(tmp_path, activation_function=in_file)
    assert config.hidden_act == field
    assert config == GPT2Config(activation_function=in_file) == GPT2Config(hidden_act=field)
    assert config.activation_function == back
    data = written(config, tmp_path / "again")
    assert data["activation_function"] == back
    assert "hidden_act" not in data
    assert AutoConfig.from_pretrained(tmp_path / "again") == config


def test_activation_in_mindformers_terms_is_the_tanh_form(tmp_path):
    assert GPT2Config(hidden_act="gelu").activation_function == "gelu_new"
    assert read(tmp_path, hidden_act="gelu").activation_function == "gelu_new"
    assert GPT2Config().replace(hidden_act="gelu").activation_function == "gelu_new"


@pytest.mark.parametrize("value", ["gelu_exact", "gelu_fats", "", 3, ["gelu"]])
def test_an_unknown_activation_is_refused_with_the_known_ones(tmp_path, value):
    with pytest.raises(ConfigError, match=r"activation_function=.* is not supported") as caught:
        read(tmp_path, activation_function=value)
    assert "gelu_new" in caught.value.hint
    with pytest.raises(ConfigError, match="activation_function"):
        GPT2Config(activation_function=value)


# The feed-forward layer's width -------------------------------------------------------------------------------------


def test_width_of_the_feed_forward_layer():
    small = {"hidden_size": 96, "num_heads": 6}
    assert GPT2Config(**small).ffn_size == 384
    assert GPT2Config(**small, expand_ratio=3).ffn_size == 288
    assert GPT2Config(**small, n_inner=100).ffn_size == GPT2Config(**small, ffn_hidden_size=100).ffn_size == 100
    assert GPT2Config(**small, intermediate_size=100, expand_ratio=3).ffn_size == 100


@pytest.mark.parametrize(
    "fields",
    [
        {"expand_ratio": 3},
        {"expand_ratio": 4},
        {"intermediate_size": 100},
        {"intermediate_size": 100, "expand_ratio": 3},
        {"intermediate_size": 384},
        {"intermediate_size": 384, "expand_ratio": 4},
        {"intermediate_size": 288, "expand_ratio": 3},
    ],
)
def test_files_tell_readers_the_width_and_keep_how_it_was_given(tmp_path, fields):
    config = GPT2Config(hidden_size=96, num_heads=6, **fields)
    data = written(config, tmp_path)
    assert (data["n_inner"] or 4 * data["n_embd"]) == config.ffn_size  # as a reader does that knows no expand_ratio
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert loaded == config
    wider = {"hidden_size": 192}
    assert loaded.replace(**wider).ffn_size == config.replace(**wider).ffn_size
    assert AutoConfig.from_pretrained(tmp_path, **wider).ffn_size == config.replace(**wider).ffn_size


# What the model has not ---------------------------------------------------------------------------------------------


def test_heads_that_do_not_divide_the_width_are_refused(tmp_path):
    for make in (
        lambda: GPT2Config(hidden_size=100, num_heads=12),
        lambda: GPT2Config(n_head=5),
        lambda: GPT2Config().replace(num_heads=5),
        lambda: AutoConfig.from_pretrained("gpt2", num_heads=5),
        lambda: read(tmp_path, n_head=5),
    ):
        with pytest.raises(ConfigError, match=r"hidden_size=\d+ is not a multiple of num_heads=\d+"):
            make()


def test_cross_attention_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match="add_cross_attention=True is not supported") as caught:
        read(tmp_path, add_cross_attention=True)
    assert "encoder-decoder" in caught.value.why
    assert caught.value.hint
    with pytest.raises(UnsupportedError, match="add_cross_attention"):
        GPT2Config.from_pretrained(tmp_path)
    with pytest.raises(UnsupportedError, match="add_cross_attention"):
        GPT2Config.from_dict({"add_cross_attention": True})


def test_cross_attention_that_is_off_is_kept_as_it_is(tmp_path):
    config = read(tmp_path, add_cross_attention=False)
    assert config.extra == {"add_cross_attention": False}
    assert written(config, tmp_path / "again")["add_cross_attention"] is False


def test_an_untied_head_is_read_and_written(tmp_path):
    config = read(tmp_path, tie_word_embeddings=False)
    assert config.tie_word_embeddings is False
    assert written(config, tmp_path / "again")["tie_word_embeddings"] is False
    assert read(tmp_path, tie_word_embeddings=True) == GPT2Config()


# What files have in another form than the fields -------------------------------------------------------------------


def test_values_that_other_libraries_write_load_and_come_back(tmp_path):
    keys = {
        "bos_token_id": None, "eos_token_id": [1, 5], "pad_token_id": -1, "activation_function": None,
        "layer_norm_epsilon": None, "tie_word_embeddings": None, "torch_dtype": "float32", "use_cache": True,
    }  # fmt: skip
    config = read(tmp_path, **keys)
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (None, [1, 5], None)
    assert (config.hidden_act, config.layernorm_epsilon, config.tie_word_embeddings) == ("gelu", 1e-5, True)
    assert config.eos_token_ids == (1, 5)
    assert {key: written(config, tmp_path / "again")[key] for key in keys} == keys
    assert written(config.replace(num_layers=3), tmp_path / "again")["pad_token_id"] == -1
    changed = AutoConfig.from_pretrained(tmp_path, pad_token_id=7)
    assert written(changed, tmp_path / "again")["pad_token_id"] == 7
    config.pad_token_id = 8
    assert written(config, tmp_path / "again")["pad_token_id"] == 8


def test_a_list_is_not_for_fields_that_are_no_tokens(tmp_path):
    with pytest.raises(ConfigError, match="num_layers"):
        read(tmp_path, n_layer=[1, 2])
    with pytest.raises(ConfigError, match="eos_token_id"):
        read(tmp_path, eos_token_id="end")
