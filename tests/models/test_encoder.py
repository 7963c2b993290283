"""Encoders: heads that a checkpoint lacks, labels, old names, what a saved body is called."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from mf_core.errors import ConfigError, WeightsError
from mf_core.models import (
    EncoderConfig,
    EncoderForMaskedLM,
    EncoderForSequenceClassification,
    EncoderForTokenClassification,
    EncoderModel,
)

SIZES = {
    "vocab_size": 40, "hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 24, "seq_length": 20,
    "compute_dtype": "float32",
}  # fmt: skip


class SmallConfig(EncoderConfig):
    model_type = "small_encoder"


class SmallModel(EncoderModel):
    config_class = SmallConfig


class SmallForMaskedLM(EncoderForMaskedLM):
    config_class = SmallConfig


class SmallClassifier(EncoderForSequenceClassification):
    config_class = SmallConfig


class SmallTagger(EncoderForTokenClassification):
    config_class = SmallConfig


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a directory with a body and the head of a masked language model."""
    path = tmp_path_factory.mktemp("masked")
    SmallForMaskedLM(SmallConfig(**SIZES)).save_pretrained(path)
    return path


def test_head_that_a_checkpoint_lacks_is_named_in_one_warning(folder):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = SmallClassifier.from_pretrained(folder, id2label={0: "sun", 1: "rain", 2: "snow"})
    told = [str(each.message) for each in caught if "are initialised" in str(each.message)]
    assert len(told) == 1
    assert "have no bert.pooler.dense, classifier, which" in told[0]
    assert model.classifier.weight.shape == (3, 16)
    values = model.classifier.weight.asnumpy()
    assert 0.005 < values.std() < 0.05
    assert not model.classifier.bias.asnumpy().any()
    saved = SmallForMaskedLM.from_pretrained(folder)
    assert np.array_equal(
        model.encoder.embedding.weight.asnumpy(), saved.encoder.embedding.weight.asnumpy()
    )


def test_body_that_a_checkpoint_lacks_is_an_error(folder):
    with pytest.raises(WeightsError, match="missing"):
        SmallClassifier.from_pretrained(folder, num_layers=2)


def test_body_is_saved_without_the_prefix_and_read_by_every_head(folder, tmp_path):
    from mf_core.checkpoint.safetensors_reader import read_header

    with pytest.warns(UserWarning, match=r"bert\.pooler"):
        body = SmallModel.from_pretrained(folder)
    body.save_pretrained(tmp_path)
    names = read_header(tmp_path / "model.safetensors").tensors
    assert "embeddings.word_embeddings.weight" in names
    assert "pooler.dense.weight" in names
    assert not any(name.startswith("bert.") for name in names)
    with pytest.warns(UserWarning, match="have no classifier, which are initialised"):
        tagger = SmallTagger.from_pretrained(tmp_path)
    assert np.array_equal(tagger.encoder.embedding.weight.asnumpy(), body.encoder.embedding.weight.asnumpy())


def test_old_names_of_norms_are_read(folder, tmp_path):
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in tensors.items()
    }
    old["bert.embeddings.position_ids"] = np.arange(20, dtype=np.float32)
    assert old.keys() != tensors.keys()
    save_file(old, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    model = SmallForMaskedLM.from_pretrained(tmp_path)
    assert {name for name, _ in model.parameters_and_names()} == set(tensors)


def test_labels_of_a_configuration():
    config = SmallConfig(id2label={"0": "no", "1": "yes", "2": "maybe"})
    assert (config.num_labels, config.labels, config.has_label_names) == (3, ["no", "yes", "maybe"], True)
    assert SmallConfig(num_labels=4).labels == ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"]
    assert not SmallConfig().has_label_names
    with pytest.raises(ConfigError, match="counted from 0"):
        SmallConfig(id2label={1: "no", 2: "yes"})
    with pytest.raises(ConfigError, match="disagree about 'yes'"):
        SmallConfig(id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 0})


def test_overrides_replace_the_labels_of_a_file():
    data = {"id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}}
    assert SmallConfig.from_dict(data).num_labels == 2
    assert SmallConfig.from_dict(data, num_labels=2).labels == ["no", "yes"]
    assert SmallConfig.from_dict(data, num_labels=3).labels == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert SmallConfig.from_dict(data, id2label={0: "a", 1: "b", 2: "c"}).labels == ["a", "b", "c"]
