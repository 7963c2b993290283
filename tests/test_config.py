"""Configurations: the names that fields go by, what is refused and how, and files that keep every field."""

import copy
import json
import pickle
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import pytest
import yaml
from pydantic import Field

from mf_core import AutoConfig, GPT2Config, PretrainedConfig
from mf_core.config import DType
from mf_core.errors import ConfigError, FileMissingError, IntegrityError, NotRegisteredError


class ToyConfig(PretrainedConfig):
    model_type: ClassVar[str] = "toy"
    json_names: ClassVar[Mapping[str, str]] = {"width": "d_model"}
    aliases: ClassVar[Mapping[str, str]] = {"hidden_size": "width"}

    width: Annotated[int, Field(gt=0)] = 8
    depth: int = 2
    rate: float = 0.5
    kind: Literal["a", "b"] = "a"
    dtype: DType = "float32"
    labels: list[str] = Field(default_factory=list)


#: A value other than the default for every field that may have one.
CHANGED = {
    "batch_size": 4,
    "seq_length": 2048,
    "vocab_size": 300,
    "hidden_size": 96,
    "num_layers": 3,
    "num_heads": 6,
    "expand_ratio": 3,
    "intermediate_size": 100,
    "hidden_act": "relu",
    "num_labels": 3,
    "id2label": {0: "dull", 1: "fair", 2: "bright"},
    "label2id": {"dull": 0, "fair": 1, "bright": 2},
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
    "unk_token_id": 4,
    "embedding_dropout_prob": 0.2,
    "hidden_dropout_rate": 0.3,
    "attention_dropout_rate": 0.0,
    "layernorm_epsilon": 1e-6,
    "initializer_range": 0.1,
    "post_layernorm_residual": True,
    "scale_attn_weights": False,
    "scale_attn_by_inverse_layer_idx": True,
    "tie_word_embeddings": False,
    "param_init_type": "float16",
    "compute_dtype": "bfloat16",
    "softmax_compute_type": "float16",
    "layernorm_compute_type": "float16",
    "do_sample": False,
    "top_k": 0,
    "top_p": 0.9,
    "temperature": 0.7,
    "repetition_penalty": 1.2,
    "max_decode_length": 30,
    "use_past": True,
    "checkpoint_name_or_path": "gpt2",
    "parallel_config": {"data_parallel": 2, "recompute": {"recompute": True}},
}


# Names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["width", "d_model", "hidden_size"])
def test_a_field_is_given_read_and_set_under_each_of_its_names(name):
    config = ToyConfig(**{name: 32})
    assert [config.width, config.d_model, config.hidden_size] == [32, 32, 32]
    setattr(config, name, 16)
    assert [config.width, config.d_model, config.hidden_size] == [16, 16, 16]
    assert config == ToyConfig(width=16)


@pytest.mark.parametrize(("name", "field"), [(key, name) for name, key in GPT2Config.json_names.items()])
def test_gpt2_fields_are_read_by_the_names_of_checkpoints(name, field):
    config = GPT2Config()
    expected = "gelu_new" if name == "activation_function" else getattr(config, field)
    assert getattr(config, name) == expected
    assert GPT2Config(**{name: expected}) == config


def test_names_of_other_families_are_known_too():
    config = GPT2Config(num_hidden_layers=3, num_attention_heads=2, max_position_embeddings=9, ffn_hidden_size=5)
    assert (config.num_layers, config.num_heads, config.seq_length, config.ffn_size) == (3, 2, 9, 5)


def test_unknown_keyword_names_the_close_ones():
    with pytest.raises(ConfigError, match="GPT2Config has no field 'num_layer'") as caught:
        GPT2Config(num_layer=3)
    assert caught.value.value == "num_layer"
    assert "'num_layers'" in caught.value.hint
    with pytest.raises(ConfigError, match="ToyConfig has no field 'whatever'") as caught:
        ToyConfig(whatever=3)
    assert caught.value.hint == "its fields are: depth, dtype, kind, labels, rate, width"


def test_unknown_attributes_are_neither_read_nor_set():
    config = GPT2Config()
    with pytest.raises(AttributeError, match="hidden_sise"):
        _ = config.hidden_sise
    assert not hasattr(config, "n_embed")
    with pytest.raises(ConfigError, match="GPT2Config has no field 'hidden_sise'") as caught:
        config.hidden_sise = 3
    assert caught.value.hint == "did you mean 'hidden_size'?"
    for name in ("model_type", "ffn_size", "extra"):
        with pytest.raises(ConfigError, match=name):
            setattr(config, name, 3)


def test_two_names_of_a_field_that_disagree_are_refused():
    with pytest.raises(ConfigError, match="hidden_size=64 and n_embd=32 are the same field"):
        GPT2Config(hidden_size=64, n_embd=32)
    assert GPT2Config(hidden_size=96, n_embd=96).hidden_size == 96
    assert GPT2Config(hidden_act="gelu", activation_function="gelu_new").hidden_act == "gelu"
    with pytest.raises(ConfigError, match="the same field"):
        GPT2Config(hidden_act="gelu", activation_function="gelu")  # the tanh form and the exact one
    with pytest.raises(ConfigError, match="the same field"):
        ToyConfig.from_dict({"d_model": 3, "hidden_size": 4})


# Values -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_layers", 0),
        ("hidden_size", -768),
        ("vocab_size", 1.5),
        ("seq_length", "long"),
        ("seq_length", None),
        ("hidden_dropout_rate", 1.0),
        ("attention_dropout_rate", -0.1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("temperature", 0.0),
        ("temperature", float("inf")),
        ("repetition_penalty", float("nan")),
        ("layernorm_epsilon", 0.0),
        ("hidden_act", "gelu_new"),  # whose name here is "gelu"
        ("hidden_act", ["gelu"]),
        ("compute_dtype", "float8"),
        ("compute_dtype", None),
        ("tie_word_embeddings", None),
        ("parallel_config", [1]),
        ("checkpoint_name_or_path", None),
    ],
)
def test_a_value_out_of_range_is_named_with_its_field_and_the_config_stays_as_it_was(field, value):
    with pytest.raises(ConfigError) as caught:
        GPT2Config(**{field: value})
    assert caught.value.what.startswith(f"GPT2Config: {field}={value!r}: ")
    assert caught.value.value is value or caught.value.value == value
    config = GPT2Config()
    with pytest.raises(ConfigError, match=field):
        setattr(config, field, value)
    assert config == GPT2Config()
    assert config.model_fields_set == set()


def test_a_value_is_named_by_its_field_whatever_name_it_came_by():
    with pytest.raises(ConfigError, match="GPT2Config: hidden_size=0"):
        GPT2Config(n_embd=0)


def test_fields_that_do_not_fit_each_other_are_refused_and_leave_nothing_behind():
    with pytest.raises(ConfigError, match="hidden_size=768 is not a multiple of num_heads=5"):
        GPT2Config(num_heads=5)
    config = GPT2Config(num_layers=2)
    for name in ("num_heads", "n_head", "num_attention_heads"):
        with pytest.raises(ConfigError, match="hidden_size=768 is not a multiple of num_heads=7"):
            setattr(config, name, 7)
    assert config.num_heads == 12
    assert config.model_fields_set == {"num_layers"}
    config.num_heads = 6  # and it can be set to what fits
    assert config.num_heads == 6


def test_values_are_checked_and_converted_on_assignment():
    config = ToyConfig()
    config.depth = "3"
    config.dtype = "fp16"
    assert (config.depth, config.dtype) == (3, "float16")
    with pytest.raises(ConfigError, match=r"ToyConfig: kind='c': Input should be 'a' or 'b'"):
        config.kind = "c"
    with pytest.raises(ConfigError, match=r"ToyConfig: labels\.1=2"):
        config.labels = ["x", 2]
    assert (config.kind, config.labels) == ("a", [])


def test_activation_is_set_in_the_terms_of_the_name_it_goes_by():
    config = GPT2Config()
    config.activation_function = "gelu"
    assert config.hidden_act == "gelu_exact"
    config.hidden_act = "gelu"
    assert config.activation_function == "gelu_new"
    with pytest.raises(ConfigError, match="activation_function='gelu_fats' is not supported"):
        config.activation_function = "gelu_fats"
    assert config.hidden_act == "gelu"


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("fp16", "float16"),
        ("fp32", "float32"),
        ("bf16", "bfloat16"),
        ("FP16", "float16"),
        ("float16", "float16"),
        ("Float32", "float32"),
        ("mstype.float16", "float16"),
        ("mindspore.bfloat16", "bfloat16"),
        ("torch.float32", "float32"),
    ],
)
def test_spellings_of_types(spelling, name):
    assert GPT2Config(compute_dtype=spelling).compute_dtype == name


def test_types_of_mindspore_and_numpy_are_taken():
    import mindspore
    import numpy as np

    config = GPT2Config(
        param_init_type=mindspore.float16, compute_dtype=mindspore.bfloat16, softmax_compute_type=np.dtype("float16"),
        layernorm_compute_type=np.float16,
    )  # fmt: skip
    assert (config.param_init_type, config.compute_dtype) == ("float16", "bfloat16")
    assert (config.softmax_compute_type, config.layernorm_compute_type) == ("float16", "float16")


# Copies and dicts ---------------------------------------------------------------------------------------------------


def test_replace_changes_a_copy_and_checks_it():
    config = GPT2Config.from_dict({"n_layer": 3, "task": "stories"})
    other = config.replace(n_embd=96, num_heads=6)
    assert (other.num_layers, other.hidden_size, other.num_heads) == (3, 96, 6)
    assert (config.hidden_size, config.num_heads) == (768, 12)
    assert other.extra == {"task": "stories"}
    other.extra["task"] = "news"
    assert config.extra == {"task": "stories"}
    assert config.replace() == config
    assert config.replace(num_layers=config.num_layers).model_fields_set == config.model_fields_set
    with pytest.raises(ConfigError, match="no field 'layers'"):
        config.replace(layers=3)
    with pytest.raises(ConfigError, match="multiple of num_heads=5"):
        config.replace(num_heads=5)


def test_what_was_set_explicitly_is_still_so_after_replace():
    config = GPT2Config(compute_dtype="float16")  # the default, but asked for: backends tell the two apart
    assert "compute_dtype" in config.replace(num_layers=2).model_fields_set
    assert "compute_dtype" not in GPT2Config().replace(num_layers=2).model_fields_set


def test_configs_are_compared_copied_and_pickled():
    config = GPT2Config.from_dict({"n_layer": 3, "task": "stories"})
    assert copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) == config
    assert copy.deepcopy(config).extra == {"task": "stories"}
    assert config != GPT2Config(num_layers=3)  # it knows more
    assert GPT2Config() != GPT2Config(num_layers=3)


def test_overrides_win_over_a_dicts_fields_and_unknown_ones_are_errors():
    config = GPT2Config.from_dict({"n_layer": 3, "vocab": "x"}, num_layers=5)
    assert config.num_layers == 5
    assert config.extra == {"vocab": "x"}
    with pytest.raises(ConfigError, match="no field 'vocab'"):
        GPT2Config.from_dict({}, vocab="x")


def test_to_dict_has_every_field_and_makes_an_equal_config():
    config = GPT2Config.from_dict({"n_layer": 3, "task": "stories"})
    data = config.to_dict()
    assert set(data) == {*GPT2Config.model_fields, "model_type", "task"}
    assert GPT2Config.from_dict(data) == config


# Files --------------------------------------------------------------------------------------------------------------


def test_every_field_has_a_case_here():
    assert set(CHANGED) == set(GPT2Config.model_fields)
    defaults = GPT2Config()
    assert [name for name, value in CHANGED.items() if getattr(defaults, name) == value] == []


@pytest.mark.parametrize("field", sorted(CHANGED))
def test_a_round_trip_keeps_the_field(field, tmp_path):
    config = GPT2Config(**{field: CHANGED[field]})
    config.save_pretrained(tmp_path)
    for loaded in (GPT2Config.from_pretrained(tmp_path), AutoConfig.from_pretrained(str(tmp_path))):
        assert getattr(loaded, field) == CHANGED[field]
        assert loaded == config


def test_a_round_trip_keeps_all_fields_together(tmp_path):
    config = GPT2Config(**CHANGED)
    config.save_pretrained(tmp_path / "new" / "folder")
    assert GPT2Config.from_pretrained(tmp_path / "new" / "folder") == config


def test_a_round_trip_keeps_fields_set_by_assignment(tmp_path):
    config = GPT2Config()
    for name in ("num_layers", "hidden_act", "compute_dtype"):
        setattr(config, name, CHANGED[name])
    config.save_pretrained(tmp_path)
    assert GPT2Config.from_pretrained(tmp_path) == config


def test_a_file_keeps_what_was_set_though_it_is_the_default(tmp_path):
    GPT2Config(compute_dtype="float16").save_pretrained(tmp_path)
    assert "compute_dtype" in GPT2Config.from_pretrained(tmp_path).model_fields_set
    GPT2Config().save_pretrained(tmp_path)
    assert "compute_dtype" not in GPT2Config.from_pretrained(tmp_path).model_fields_set


def test_keys_that_are_no_fields_are_kept_and_written_back(tmp_path):
    extra = {"n_ctx": 1024, "task_specific_params": {"text-generation": {"max_length": 50}}, "summary_type": None}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_layer": 3, **extra}))
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.extra == extra
    assert not hasattr(config, "n_ctx")
    config.save_pretrained(tmp_path / "again")
    written = json.loads((tmp_path / "again" / "config.json").read_text())
    assert {key: written[key] for key in extra} == extra
    assert written["n_layer"] == 3
    assert AutoConfig.from_pretrained(tmp_path / "again") == config


def test_config_file_has_the_checkpoints_own_keys(tmp_path):
    GPT2Config(num_layers=3, hidden_act="gelu_exact", post_layernorm_residual=True).save_pretrained(tmp_path)
    data = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert data["model_type"] == "gpt2"
    assert (data["n_layer"], data["n_embd"], data["activation_function"], data["n_inner"]) == (3, 768, "gelu", None)
    assert data["post_layernorm_residual"] is True
    assert not {"num_layers", "hidden_size", "hidden_act", "batch_size", "compute_dtype"} & set(data)


def test_a_directory_is_saved_into_again_and_nothing_else_is_left_there(tmp_path):
    for layers in (3, 4):
        GPT2Config(num_layers=layers).save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert GPT2Config.from_pretrained(tmp_path).num_layers == 4


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json"])
def test_files_of_either_form_are_read(suffix, tmp_path):
    path = tmp_path / f"small{suffix}"
    data = {"model_type": "gpt2", "num_layers": 3, "n_embd": 96, "layernorm_epsilon": 1e-6, "note": "für später"}
    path.write_text(json.dumps(data) if suffix == ".json" else yaml.safe_dump(data), encoding="utf-8")
    for config in (AutoConfig.from_pretrained(path), GPT2Config.from_pretrained(str(path), num_heads=6)):
        assert (config.num_layers, config.hidden_size, config.layernorm_epsilon) == (3, 96, 1e-6)
        assert config.extra == {"note": "für später"}
    assert config.num_heads == 6


MINDFORMERS = """
seed: 0
trainer:
  type: CausalLanguageModelingTrainer
  model_name: 'gpt2'
model:
  model_config:
    type: GPT2Config
    seq_length: 512
    vocab_size: 1000
    hidden_size: 96
    num_layers: 3
    num_heads: 6
    expand_ratio: 4
    hidden_act: "gelu"
    layernorm_epsilon: 1e-6
    param_init_type: "float32"
    layernorm_compute_type: "float32"
    compute_dtype: "float16"
    checkpoint_name_or_path: ""
    top_k: 3
    do_sample: False
  arch:
    type: GPT2LMHeadModel
processor:
  return_tensors: ms
"""


def test_mindformers_yaml_is_read(tmp_path):
    path = tmp_path / "run_gpt2.yaml"
    path.write_text(MINDFORMERS)
    config = AutoConfig.from_pretrained(path)
    assert isinstance(config, GPT2Config)
    assert (config.seq_length, config.hidden_size, config.num_heads, config.top_k) == (512, 96, 6, 3)
    assert config.layernorm_epsilon == 1e-6  # which YAML reads as text
    assert config.do_sample is False
    assert config.extra == {}
    assert GPT2Config.from_pretrained(path) == config


def test_mindformers_yaml_of_a_class_that_no_plugin_has(tmp_path):
    path = tmp_path / "run_bloom.yaml"
    path.write_text(MINDFORMERS.replace("GPT2Config", "GTP2Config"))
    with pytest.raises(NotRegisteredError, match="no installed plugin provides the class 'GTP2Config'") as caught:
        AutoConfig.from_pretrained(path)
    assert "GPT2Config" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("model:\n  model_config:\n", "the model_config in '.*' is a NoneType, not a mapping"),
        ("model:\n  model_config: GPT2Config\n", "the model_config in '.*' is a str, not a mapping"),
        ("model:\n  model_config: [1, 2]\n", "the model_config in '.*' is a list, not a mapping"),
        ("model:\n  model_config:\n    type: 3\n", "the type in '.*' is 3, not the name of a class"),
        ("type: [GPT2Config]\n", r"the type in '.*' is \['GPT2Config'\], not the name of a class"),
    ],
)
def test_yaml_whose_layout_is_wrong_says_where(content, message, tmp_path):
    path = tmp_path / "run_gpt2.yaml"
    path.write_text(content)
    with pytest.raises(IntegrityError, match=message) as caught:
        AutoConfig.from_pretrained(path)
    assert str(path) in caught.value.what


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b'{"model_type": "gpt2", ', "cannot be read"),
        ("a.json", b"", "cannot be read"),
        ("a.json", b"[1, 2]", "holds a list, not a mapping"),
        ("a.json", b'"gpt2"', "holds a str, not a mapping"),
        ("a.json", b'\xff\xfe{"a": 1}', "cannot be read"),
        ("a.json", b"[" * 100_000, "cannot be read"),
        ("a.yaml", b"model_type: [gpt2", "is not valid YAML"),
        ("a.yaml", b"a: b: c", "is not valid YAML"),
        ("a.yaml", b"\tmodel_type: gpt2", "is not valid YAML"),
        ("a.yaml", b"", "holds a NoneType, not a mapping"),
        ("a.yml", b"- 1\n- 2", "holds a list, not a mapping"),
        ("a.yaml", b"model_type: !!python/object/apply:os.getcwd []", "is not valid YAML"),
    ],
)
def test_broken_files_are_named(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=message) as caught:
        AutoConfig.from_pretrained(path)
    assert str(path) in caught.value.what
    assert caught.value.value == str(path)


def test_broken_config_of_a_directory_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"n_layer": 3,}')
    with pytest.raises(IntegrityError, match=r"config\.json cannot be read"):
        GPT2Config.from_pretrained(tmp_path)


@pytest.mark.parametrize("model_type", ["{}", '{"model_type": null}', '{"model_type": 3, "n_layer": 2}'])
def test_a_file_without_a_family_says_so(model_type, tmp_path):
    for name in ("config.json", "other.json"):
        (tmp_path / name).write_text(model_type)
    for path in (tmp_path, tmp_path / "other.json"):
        with pytest.raises(IntegrityError, match="does not say its model_type"):
            AutoConfig.from_pretrained(path)


def test_a_directory_or_file_that_is_not_there(tmp_path):
    with pytest.raises(FileMissingError, match=r"no file 'config\.json'") as caught:
        AutoConfig.from_pretrained(tmp_path)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(FileMissingError, match=r"there is no file '\./nope\.yaml'"):
        AutoConfig.from_pretrained("./nope.yaml")


def test_a_file_with_a_value_out_of_range_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_layer": 0}')
    with pytest.raises(ConfigError, match="num_layers=0"):
        AutoConfig.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "layer_norm_epsilon": NaN}')
    with pytest.raises(ConfigError, match="layernorm_epsilon=nan"):
        AutoConfig.from_pretrained(tmp_path)


def test_a_configuration_is_printed_with_a_field_a_line():
    text = str(GPT2Config(num_layers=3))
    lines = text.splitlines()
    assert (lines[0], lines[-1]) == ("GPT2Config(", ")")
    assert "    num_layers=3," in lines
    assert len(lines) == 2 + len(GPT2Config.model_fields)
    assert eval(text, {"GPT2Config": GPT2Config}) == GPT2Config(num_layers=3)
