"""The auto classes: what a name or path finds, families of your own, and what the document promises."""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import mindspore as ms
import numpy as np
import pytest

from mf_core import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoProcessor,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Processor,
    GPT2Tokenizer,
    PretrainedConfig,
    PretrainedModel,
    PretrainedTokenizer,
    set_seed,
)
from mf_core.errors import (
    AlreadyRegisteredError,
    ArgumentError,
    ArgumentTypeError,
    ConfigError,
    FileMissingError,
    IntegrityError,
    NotRegisteredError,
    UnsupportedError,
)
from mf_core.nn.init import parameter, skip_init
from mf_core.plugins.registry import registry
from mf_core.processing.base import TextProcessor

AUTO = [AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, AutoProcessor]
SMALL = {"vocab_size": 100, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "seq_length": 64}
PRESETS = ["gpt2", "gpt2_13b", "gpt2_large", "gpt2_medium", "gpt2_tiny", "gpt2_xl"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a test reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("MF_MODELS", raising=False)


@pytest.fixture(scope="module")
def model():
    set_seed(4)
    return GPT2LMHeadModel(GPT2Config(**SMALL))


@pytest.fixture
def mirror(model, tmp_path, monkeypatch):
    """A folder of checkpoints, in which small models go by the names of large ones."""
    folder = tmp_path / "mirror"
    for name in ("gpt2", "gpt2_13b", "somebody/small"):
        model.save_pretrained(folder / name)
    monkeypatch.setenv("MF_MODELS", os.pathsep.join([str(tmp_path / "empty"), str(folder)]))
    return folder


def weights_of(model):
    return {name: value.asnumpy() for name, value in model.parameters_and_names()}


def assert_same_weights(one, other):
    ours, theirs = weights_of(one), weights_of(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


# The classes themselves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auto", AUTO)
@pytest.mark.parametrize("arguments", [(), ("gpt2",)])
def test_constructors_raise_and_say_what_to_use(auto, arguments):
    with pytest.raises(UnsupportedError, match=f"{auto.__name__} is not instantiated") as caught:
        auto(*arguments)
    assert f"{auto.__name__}.from_pretrained(name)" in caught.value.hint
    assert ("from_config" in caught.value.hint) == hasattr(auto, "from_config")


@pytest.mark.parametrize("auto", AUTO)
def test_support_list_has_families_and_their_presets(auto, capsys):
    assert auto.get_support_list()["gpt2"] == PRESETS
    auto.show_support_list()
    assert f"gpt2: {', '.join(PRESETS)}\n" in capsys.readouterr().out


# Names and paths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt2_tiny", "mf-gpt2:gpt2_tiny"])
def test_preset_that_is_shipped(name):
    config = AutoConfig.from_pretrained(name)
    assert isinstance(config, GPT2Config)
    assert (config.num_layers, config.hidden_size) == (4, 128)
    model = AutoModel.from_pretrained(name)
    assert isinstance(model, GPT2LMHeadModel)
    assert model.config == config
    assert isinstance(AutoTokenizer.from_pretrained(name), GPT2Tokenizer)
    assert AutoProcessor.from_pretrained(name, max_length=9)("Once")["text"].shape == (1, 9)


@pytest.mark.parametrize("name", ["gpt2", "mf-gpt2:gpt2"])
def test_preset_whose_weights_are_elsewhere_has_its_config_and_tokenizer_here(name):
    assert AutoConfig.from_pretrained(name) == GPT2Config.from_pretrained(name) == GPT2Config()
    assert len(AutoTokenizer.from_pretrained(name)) == 50257


@pytest.mark.parametrize("as_path", [str, Path], ids=["str", "Path"])
@pytest.mark.parametrize("auto", [AutoModel, AutoModelForCausalLM, GPT2LMHeadModel])
def test_directory(auto, as_path, model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = auto.from_pretrained(as_path(tmp_path))
    assert isinstance(loaded, GPT2LMHeadModel)
    assert not loaded.training
    assert_same_weights(loaded, model)
    ids = ms.Tensor([[1, 2, 3]], ms.int32)
    np.testing.assert_array_equal(loaded(ids).asnumpy(), model(ids).asnumpy())


def test_directory_in_the_home_folder_and_one_called_like_a_preset(model, tmp_path, monkeypatch):
    model.save_pretrained(tmp_path / "gpt2")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("~/gpt2", "./gpt2", Path("gpt2")):
        assert AutoConfig.from_pretrained(name).num_layers == 2
    assert AutoConfig.from_pretrained("gpt2").num_layers == 12


def test_overrides_change_the_model(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path, compute_dtype="fp16", n_head=2)
    assert (loaded.compute_dtype, loaded.cache_shape) == ("float16", (2, 2, 16))
    with pytest.raises(ConfigError, match="GPT2Config has no field 'hidden_sice'") as caught:
        AutoModel.from_pretrained(tmp_path, hidden_sice=3)
    assert "'hidden_size'" in caught.value.hint


@pytest.mark.parametrize("auto", AUTO)
def test_directory_that_is_not_there(auto):
    for name in ("./nope", "../nope/deeper", "/nope", "~/nope", "~nobody-of-that-name/nope", Path("nope")):
        with pytest.raises(FileMissingError, match="there is no directory") as caught:
            auto.from_pretrained(name)
        assert str(name) in caught.value.what


@pytest.mark.parametrize("auto", AUTO)
def test_name_that_no_plugin_knows(auto):
    with pytest.raises(NotRegisteredError, match="no installed plugin provides the preset 'gpt3'") as caught:
        auto.from_pretrained("gpt3")
    assert "did you mean 'gpt2'" in str(caught.value)
    assert caught.value.hint.startswith(("installed: ", "`mf models` lists all "))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("mf-gpt2:gpt9", NotRegisteredError, "mf-gpt2 does not provide the preset 'gpt9'"),
        ("mf-nope:gpt2", NotRegisteredError, "no plugin called 'mf-nope' is installed"),
        ("", ArgumentError, "empty"),
        ("x" * 300, NotRegisteredError, "no installed plugin"),
        ("gpt2\0", NotRegisteredError, "no installed plugin"),
        (5, ArgumentTypeError, "by name or path, not int"),
        (None, ArgumentTypeError, "by name or path, not NoneType"),
        (b"gpt2", ArgumentTypeError, "by name or path, not bytes"),
        (["gpt2"], ArgumentTypeError, "by name or path, not list"),
    ],
    ids=lambda value: repr(value)[:20] if isinstance(value, (str, bytes)) else None,
)
def test_names_of_the_wrong_form_or_type(name, error, message):
    with pytest.raises(error, match=message):
        AutoConfig.from_pretrained(name)


def test_a_revision_is_refused_where_there_are_none(model, tmp_path):
    model.save_pretrained(tmp_path)
    for name in (tmp_path, str(tmp_path), tmp_path / "config.json", "gpt2_tiny", "gpt2_13b"):
        with pytest.raises(ArgumentError, match="takes no revision"):
            AutoConfig.from_pretrained(name, revision="main")


def test_a_file_of_weights_is_no_checkpoint_by_itself(model, tmp_path, monkeypatch):
    model.save_pretrained(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "run" / "model.safetensors"
    for name in (file, str(file), "./run/model.safetensors", "run/model.safetensors"):  # the last looks like a hub's
        with pytest.raises(ArgumentError, match=r"model\.safetensors' is a file, and no configuration") as caught:
            AutoModel.from_pretrained(name)
        assert "name its directory" in caught.value.hint
        assert caught.value.hint.endswith("run'")


def test_config_file_gives_a_config_and_no_weights(model, tmp_path):
    model.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    assert AutoConfig.from_pretrained(file).num_layers == 2
    with pytest.raises(FileMissingError, match="has no weights") as caught:
        AutoModel.from_pretrained(file)
    assert "is a configuration file" in caught.value.why
    with pytest.raises(FileMissingError, match="has no vocabulary"):
        AutoTokenizer.from_pretrained(file)


def test_mindformers_yaml_makes_a_model_of_random_weights_by_from_config(tmp_path):
    file = tmp_path / "run_gpt2.yaml"
    fields = "".join(f"    {name}: {value}\n" for name, value in SMALL.items())
    file.write_text(f"model:\n  model_config:\n    type: GPT2Config\n{fields}  arch:\n    type: GPT2LMHeadModel\n")
    assert AutoModel.from_config(AutoConfig.from_pretrained(file)).num_parameters() == 30720
    with pytest.raises(FileMissingError, match="has no weights"):
        AutoModel.from_pretrained(file)


# MF_MODELS ----------------------------------------------------------------------------------------------------------


def test_a_preset_is_taken_from_the_mirror(mirror, model):
    for name in ("gpt2_13b", "mf-gpt2:gpt2_13b", "gpt2"):
        assert GPT2Config.from_pretrained(name).num_layers == 2
        assert_same_weights(GPT2LMHeadModel.from_pretrained(name), model)
    assert AutoConfig.from_pretrained("gpt2_medium").num_layers == 24  # the mirror has none


def test_a_preset_in_the_mirror_without_vocabulary_has_the_presets_own(mirror):
    assert AutoTokenizer.from_pretrained("gpt2_13b")("hello!")["input_ids"] == [50256, 31373, 0, 50256]
    AutoTokenizer.from_pretrained("gpt2_tiny").save_pretrained(mirror / "gpt2_13b")
    assert len(AutoTokenizer.from_pretrained("gpt2_13b")) == 1024
    assert AutoProcessor.from_pretrained("gpt2_13b").tokenizer.pad_token == "<|pad|>"


def test_a_repository_is_taken_from_the_mirror(mirror, model):
    assert_same_weights(AutoModel.from_pretrained("somebody/small"), model)


def test_a_name_that_no_preset_has_is_found_in_the_mirror(mirror, model):
    model.save_pretrained(mirror / "mine")
    assert AutoConfig.from_pretrained("mine").num_layers == 2
    with pytest.raises(NotRegisteredError):
        AutoConfig.from_pretrained("mini")


def test_paths_are_not_looked_for_in_the_mirror(mirror, model, tmp_path, monkeypatch):
    model.save_pretrained(mirror / "mine")
    monkeypatch.chdir(tmp_path)
    for name in ("./mine", "../mine", f"{tmp_path}/mine", Path("mine")):
        with pytest.raises(FileMissingError, match="there is no directory"):
            AutoConfig.from_pretrained(name)
    (tmp_path / "mine").write_text("a file of that name changes nothing")
    assert AutoConfig.from_pretrained("mine").num_layers == 2


# What has no weights, or another family's ---------------------------------------------------------------------------


@pytest.mark.parametrize("auto", [AutoModel, AutoModelForCausalLM, GPT2LMHeadModel])
def test_preset_without_weights_says_why_and_makes_no_model(auto, monkeypatch):
    monkeypatch.setattr(GPT2LMHeadModel, "__init__", lambda *args: pytest.fail("13 billion parameters were made"))
    with pytest.raises(FileMissingError, match="'gpt2_13b' has no weights") as caught:
        auto.from_pretrained("gpt2_13b")
    assert "no safetensors weights of this size are published" in caught.value.why
    assert "MF_MODELS" in caught.value.why
    assert "from_config(config)" in caught.value.hint
    assert AutoConfig.from_pretrained("gpt2_13b").hidden_size == 5120
    assert len(AutoTokenizer.from_pretrained("gpt2_13b")) == 50257


def test_directory_without_weights_gives_no_random_ones(tmp_path):
    GPT2Config(**SMALL).save_pretrained(tmp_path)
    with pytest.raises(FileMissingError, match=r"has no model\.safetensors") as caught:
        AutoModel.from_pretrained(tmp_path)
    assert "from_config(config)" in caught.value.hint


def test_family_that_is_not_installed_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "opt", "hidden_size": 8}')
    for auto, kind in ((AutoConfig, "config"), (AutoModel, "model"), (AutoTokenizer, "tokenizer")):
        with pytest.raises(NotRegisteredError, match=f"no installed plugin provides the {kind} 'opt'"):
            auto.from_pretrained(tmp_path)


def test_code_of_a_checkpoint_is_never_run(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "weird", "auto_map": {"AutoModel": "evil.Model"}}))
    for auto in (AutoConfig, AutoModel):
        with pytest.raises(NotRegisteredError) as caught:
            auto.from_pretrained(tmp_path)
        assert caught.value.why.endswith("brings its own code (auto_map), and code of a checkpoint is never run")
    with pytest.raises(ConfigError, match="code that comes with a checkpoint is never run"):
        AutoConfig.from_pretrained("gpt2", trust_remote_code=True)


def test_a_familys_own_classes_refuse_another_family(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert", "hidden_size": 8}')
    with pytest.raises(ConfigError, match="is a 'bert' checkpoint, not one for GPT2Config") as caught:
        GPT2Config.from_pretrained(tmp_path)
    assert caught.value.hint == "use AutoConfig, which picks the class"
    with pytest.raises(ConfigError, match="is a 'bert' checkpoint, not one for GPT2LMHeadModel"):
        GPT2LMHeadModel.from_pretrained(tmp_path)


def test_a_subclass_of_a_familys_config_reads_the_familys_checkpoints():
    class MyConfig(GPT2Config):
        colour: str = "red"

    config = MyConfig.from_pretrained("gpt2_tiny", colour="blue")
    assert (type(config), config.colour, config.num_layers) == (MyConfig, "blue", 4)


# from_config --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auto", [AutoModel, AutoModelForCausalLM])
def test_from_config_makes_random_weights(auto):
    config = GPT2Config(**SMALL)
    set_seed(1)
    one = auto.from_config(config)
    set_seed(1)
    same = auto.from_config(config)
    other = auto.from_config(config, num_layers=1)
    assert_same_weights(one, same)
    assert (other.config.num_layers, config.num_layers) == (1, 2)
    assert np.abs(one.transformer.wte.weight.asnumpy() - other.transformer.wte.weight.asnumpy()).max() > 0


def test_from_config_wants_a_config():
    for wrong in ("gpt2", {"model_type": "gpt2"}, GPT2Config):
        with pytest.raises(ArgumentTypeError, match="takes a config object") as caught:
            AutoModel.from_config(wrong)
        assert "AutoConfig.from_pretrained" in caught.value.hint
    with pytest.raises(ConfigError, match="no field 'layers'"):
        AutoModel.from_config(GPT2Config(**SMALL), layers=3)


def test_config_from_a_dict():
    assert AutoConfig.from_config({"model_type": "gpt2", "n_layer": 3}, n_head=6) == GPT2Config(
        num_layers=3, num_heads=6
    )
    with pytest.raises(IntegrityError, match="the given dict' does not say its model_type"):
        AutoConfig.from_config({"n_layer": 3})
    with pytest.raises(IntegrityError, match="does not say its model_type"):
        AutoConfig.from_config({})
    with pytest.raises(ArgumentTypeError, match="takes a dict, not str"):
        AutoConfig.from_config("gpt2")


# A family of your own ----------------------------------------------------------------------------------------------


class LettersConfig(PretrainedConfig):
    model_type: ClassVar[str] = "letters"
    json_names: ClassVar[Mapping[str, str]] = {"width": "d_model"}
    width: int = 4
    seq_length: int = 16


class LettersModel(PretrainedModel):
    config_class = LettersConfig

    def __init__(self, config):
        super().__init__(config)
        self.weight = parameter((26, config.width), ("normal", 1.0))
        self.post_init()

    def construct(self, ids):
        return ms.ops.gather(self.weight, ids, 0)


class LettersTokenizer(PretrainedTokenizer):
    def __init__(self, letters, **options):
        self.letters = letters
        super().__init__(**options)

    @classmethod
    def load(cls, source, **options):
        return cls(source.path("letters.txt").read_text(), **options)

    def save_vocabulary(self, directory):
        (directory / "letters.txt").write_text(self.letters)

    def encode_text(self, text):
        return [self.letters.index(letter) for letter in text], [(i, i + 1) for i in range(len(text))]

    def decode_ids(self, ids, skip_special_tokens):
        return "".join(self.letters[index] for index in ids)

    def token_to_id(self, token):
        return self.letters.index(token) if token in self.letters else None

    def id_to_token(self, index):
        return self.letters[index]

    def __len__(self):
        return len(self.letters)


class LettersProcessor(TextProcessor):
    pass


@pytest.fixture
def registering():
    """Give back, after the test, what was registered at run time before it."""
    before = {kind: dict(entries) for kind, entries in registry._runtime.items()}
    yield
    registry._runtime.clear()
    registry._runtime.update(before)


@pytest.fixture
def letters(registering):
    AutoConfig.register("letters", LettersConfig)
    AutoModel.register(LettersConfig, LettersModel)
    AutoTokenizer.register(LettersConfig, LettersTokenizer)
    AutoProcessor.register(LettersConfig, LettersProcessor)


def test_own_family_is_saved_and_found_by_the_auto_classes(letters, tmp_path):
    model = AutoModel.from_config(LettersConfig(width=6))
    model.save_pretrained(tmp_path)
    tokenizer = LettersTokenizer("_abcdefghijkl", bos_token="a", eos_token=None, pad_token="_", padding_side="left")
    LettersProcessor(tokenizer, max_length=5, return_tensors="np").save_pretrained(tmp_path)

    config = AutoConfig.from_pretrained(tmp_path)
    assert (type(config), config.d_model) == (LettersConfig, 6)
    loaded = AutoModel.from_pretrained(tmp_path)
    assert type(loaded) is LettersModel
    assert_same_weights(loaded, model)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert type(again) is LettersTokenizer
    assert {name: getattr(again, name) for name in again.options} == {
        name: getattr(tokenizer, name) for name in tokenizer.options
    }
    processor = AutoProcessor.from_pretrained(str(tmp_path))
    assert type(processor) is LettersProcessor
    assert processor("bed")["text"].tolist() == [[0, 1, 2, 5, 4]]


def test_own_family_is_listed_and_importable(letters, capsys):
    import mf_core

    for auto in (AutoConfig, AutoModel, AutoTokenizer, AutoProcessor):
        assert auto.get_support_list()["letters"] == []
    assert "letters" not in AutoModelForCausalLM.get_support_list()
    AutoConfig.show_support_list()
    assert "letters: (no presets)\n" in capsys.readouterr().out
    assert mf_core.LettersModel is LettersModel


def test_own_tokenizer_is_found_by_the_name_in_its_file(letters, tmp_path):
    LettersTokenizer("abc", bos_token=None).save_pretrained(tmp_path)  # and no config.json
    assert type(AutoTokenizer.from_pretrained(tmp_path)) is LettersTokenizer
    for name, error, message in (
        ("LettersModel", IntegrityError, "names 'LettersModel' as its tokenizer"),
        ("GPT2LMHeadModel", IntegrityError, "names 'GPT2LMHeadModel' as its tokenizer"),
        ("MambaTokenizer", NotRegisteredError, "no installed plugin provides the class 'MambaTokenizer'"),
    ):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
        with pytest.raises(error, match=message):
            AutoTokenizer.from_pretrained(tmp_path)


def test_a_familys_classes_do_not_fit_another(letters):
    with pytest.raises(ArgumentTypeError, match="LettersModel is built from a LettersConfig, not GPT2Config"):
        LettersModel(GPT2Config(**SMALL))
    with pytest.raises(NotRegisteredError, match=r"the family 'letters' of .* has no model with the head 'causal_lm'"):
        AutoModelForCausalLM.from_config(LettersConfig())


def test_registering_again_needs_exist_ok(letters):
    class Other(LettersConfig):
        pass

    with pytest.raises(AlreadyRegisteredError, match="the config 'letters' is already provided") as caught:
        AutoConfig.register("letters", Other)
    assert "exist_ok=True" in caught.value.hint
    AutoConfig.register("letters", Other, exist_ok=True)
    assert type(AutoConfig.from_config({"model_type": "letters"})) is Other


def test_own_class_instead_of_a_plugins(registering):
    class MyTokenizer(GPT2Tokenizer):
        pass

    with pytest.raises(AlreadyRegisteredError, match="already provided by mf-gpt2"):
        AutoTokenizer.register(GPT2Config, MyTokenizer)
    AutoTokenizer.register(GPT2Config, MyTokenizer, exist_ok=True)
    assert type(AutoTokenizer.from_pretrained("gpt2_tiny")) is MyTokenizer


def test_what_cannot_be_registered(registering):
    for family, target, error, message in (
        ("letters", LettersConfig(), ArgumentTypeError, "is not a class"),
        ("letters", "LettersConfig", ArgumentTypeError, "is not a class"),
        (3, LettersConfig, ArgumentTypeError, "config class or model_type, not 3"),
        ("", LettersConfig, ArgumentError, "for the family ''"),
        (PretrainedConfig, LettersConfig, ArgumentError, "for the family ''"),
        ("numbers", LettersConfig, ArgumentError, "for the family 'numbers'"),
    ):
        with pytest.raises(error, match=message):
            AutoConfig.register(family, target)
    assert "letters" not in AutoConfig.get_support_list()


# The document's blocks ----------------------------------------------------------------------------------------------

ROW = "[[50256, 31373,     0 ... 50256, 50256, 50256]]"


def test_document_config_and_model(mirror):
    gpt_config = AutoConfig.from_pretrained("gpt2")
    gpt_model = AutoModel.from_pretrained("gpt2")
    assert isinstance(gpt_model, GPT2LMHeadModel)
    assert gpt_model.config == gpt_config


def test_document_model_of_13b(mirror):
    gpt_13b_config = GPT2Config.from_pretrained("gpt2_13b")
    gpt_13b_model = GPT2LMHeadModel.from_pretrained("gpt2_13b")
    assert gpt_13b_model.config == gpt_13b_config


def test_document_config_of_ones_own():
    gpt_config = GPT2Config(hidden_size=768, num_layers=12)
    assert gpt_config == GPT2Config()
    with skip_init():  # as the document has it, but for the 124 million random numbers
        gpt_model = GPT2LMHeadModel(gpt_config)
    assert gpt_model.num_parameters() == 124_439_808


@pytest.mark.parametrize("auto", [AutoTokenizer, GPT2Tokenizer])
def test_document_tokenizer(auto):
    gpt_tokenizer = auto.from_pretrained("gpt2")
    assert str(gpt_tokenizer("hello!")) == (
        "{'input_ids': [50256, 31373, 0, 50256], 'token_type_ids': [0, 0, 0, 0], 'attention_mask': [1, 1, 1, 1]}"
    )


@pytest.mark.parametrize("auto", [AutoProcessor, GPT2Processor])
def test_document_processor(auto):
    gpt_processor = auto.from_pretrained("gpt2")
    result = gpt_processor("hello!")
    assert str(result) == f"{{'text': Tensor(shape=[1, 128], dtype=Int32, value=\n{ROW})}}"
    assert result["text"].asnumpy().tolist() == [[50256, 31373, 0] + [50256] * 125]


def test_document_processor_of_ones_own():
    tok = GPT2Tokenizer.from_pretrained("gpt2")
    gpt_processor = GPT2Processor(tokenizer=tok, max_length=256, return_tensors="ms")
    result = gpt_processor("hello!")
    assert str(result) == f"{{'text': Tensor(shape=[1, 256], dtype=Int32, value=\n{ROW})}}"
    assert result["text"].asnumpy().tolist() == [[50256, 31373, 0] + [50256] * 253]
