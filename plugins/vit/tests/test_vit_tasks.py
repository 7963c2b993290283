"""The tasks of images on tiny models: what they give, what they refuse, and that they train."""

import json
import warnings

import numpy as np
import pytest
from PIL import Image

from mf_core import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForImageClassification,
    AutoProcessor,
    Trainer,
    TrainingArguments,
    pipeline,
)
from mf_core.errors import ArgumentError, ArgumentTypeError, DataError, FileMissingError, UnsupportedError

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24,
         "image_size": 16, "patch_size": 8, "initializer_range": 0.2}  # fmt: skip
CONFIG = {"model_type": "vit", **SIZES}
AUTOENCODER = {"model_type": "vit_mae", **SIZES, "patch_size": 4, "decoder_hidden_size": 16,
               "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2,
               "decoder_intermediate_size": 24}  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Return a folder with two classes of pictures: dark and light ones."""
    folder, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 160)):
        (folder / name).mkdir()
        for number in range(5):
            array = generator.integers(low, low + 90, (20, 24, 3)).astype(np.uint8)
            Image.fromarray(array).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Return the directory of a classifier with random weights."""
    from mf_vit.processing import ViTImageProcessor

    folder = tmp_path_factory.mktemp("classifier")
    np.random.seed(0)
    config = AutoConfig.from_config(CONFIG, id2label={0: "a", 1: "b", 2: "c", 3: "d"})
    AutoModelForImageClassification.from_config(config).save_pretrained(folder)
    ViTImageProcessor(size=16).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classify(directory):
    return pipeline("image-classification", directory)


def test_every_form_of_a_picture_gives_the_same(classify, pictures):
    path = pictures / "dark" / "0.png"
    (one,) = classify(str(path))
    assert [set(found) for found in one] == [{"score", "label"}] * 3
    assert one[0]["score"] >= one[1]["score"] >= one[2]["score"]
    opened = Image.open(path)
    forms = [path, opened, np.asarray(opened), path.read_bytes()]
    for found in (*classify(forms), *classify(iter(forms))):
        assert [each["label"] for each in found] == [each["label"] for each in one]
        assert found[0]["score"] == pytest.approx(one[0]["score"], abs=1e-6)
    assert sum(each["score"] for each in classify(path, top_k=None)[0]) == pytest.approx(1)
    assert len(classify([path] * 5, batch_size=2, top_k=1)) == 5


def test_bad_inputs(classify, tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    for given, error, words in (
        (tmp_path / "a.png", DataError, "not a picture"), (tmp_path / "b.png", FileMissingError, "no picture"),
        ("https://example.org/a.png", UnsupportedError, "nothing is downloaded"), ([], ArgumentError, "empty list"),
        (None, ArgumentTypeError, "a picture is"),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            classify(given)
    with pytest.raises(ArgumentError, match="no argument 'topk'"):
        classify(np.zeros((2, 2), np.uint8), topk=1)


def test_processors_of_a_directory(directory):
    assert type(AutoProcessor.from_pretrained(directory)).__name__ == "ViTImageProcessor"
    processor = AutoImageProcessor.from_pretrained(directory, size=8, return_tensors="np")
    assert processor(np.zeros((3, 3), np.uint8))["pixel_values"].shape == (1, 3, 8, 8)
    with pytest.raises(ArgumentError, match="no option 'sise'"):
        AutoImageProcessor.from_pretrained(directory, sise=8)
    with pytest.raises(ArgumentError, match=r"shape \(1, 3, 8, 8\)"):
        AutoModelForImageClassification.from_pretrained(directory)(
            AutoImageProcessor.from_pretrained(directory, size=8)(np.zeros((3, 3), np.uint8))["pixel_values"]
        )


def trainer_of(task, model, data, folder, **settings):
    args = TrainingArguments(
        output_dir=str(folder), batch_size=4, learning_rate=3e-3, logging_steps=10, save_strategy="no", seed=1,
        warmup_steps=0, weight_decay=0.0, **settings,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*are initialised")
        return Trainer(args, task, model=model, train_dataset=data, eval_dataset=data)


def test_classifier_trains_evaluates_and_predicts(pictures, tmp_path):
    trainer = trainer_of("image_classification", CONFIG, str(pictures), tmp_path / "run", max_steps=20)
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert set(after) == {"loss", "examples", "accuracy"}
    assert after["examples"] == 10
    assert after["loss"] < before["loss"] - 0.1
    assert after["accuracy"] == 1
    assert trainer.predict(input_data=pictures / "light" / "1.png")[0][0]["label"] == "light"
    again = pipeline("image_classification", tmp_path / "run")
    assert again(pictures / "dark" / "2.png")[0][0]["label"] == "dark"


def test_files_name_pictures_beside_them(pictures, tmp_path):
    rows = "image,label\ndark/0.png,dark\nlight/0.png,light\n"
    (pictures / "rows.csv").write_text(rows)
    trainer = trainer_of("image_classification", CONFIG, str(pictures / "rows.csv"), tmp_path, max_steps=1)
    assert trainer.model.config.labels == ["dark", "light"]
    assert trainer.evaluate()["examples"] == 2
    (pictures / "rows.csv").write_text(rows + "dark/9.png,dark\n")
    with pytest.raises(DataError, match=r"rows\.csv:4: there is no picture .*9\.png"):
        trainer_of("image_classification", CONFIG, str(pictures / "rows.csv"), tmp_path, max_steps=1).evaluate()
    skipping = trainer_of("image_classification", CONFIG, str(pictures / "rows.csv"), tmp_path, on_bad_record="skip")
    with pytest.warns(UserWarning, match="1 pictures are left out"):
        assert skipping.evaluate()["examples"] == 2
    (pictures / "rows.csv").unlink()


def test_autoencoder_trains_and_restores(pictures, tmp_path, capsys):
    trainer = trainer_of("masked_image_modeling", AUTOENCODER, str(pictures), tmp_path / "run", max_steps=20)
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert set(after) == {"loss", "examples"}
    assert after["loss"] < before["loss"] - 0.1
    restore = pipeline("masked-image-modeling", tmp_path / "run")
    (found,) = restore(pictures / "dark" / "0.png")
    assert found["image"].size == (16, 16)
    assert found["mask"].shape == (4, 4)
    assert found["mask"].sum() == 12
    kept = np.kron(~found["mask"], np.ones((4, 4), bool))
    want = Image.open(pictures / "dark" / "0.png").resize((16, 16), 2)
    assert np.array_equal(np.asarray(found["image"])[kept], np.asarray(want)[kept])
    assert not np.array_equal(restore(pictures / "dark" / "0.png", seed=1)[0]["mask"], found["mask"])
    from mf_core.cli import main

    command = ["run", "masked_image_modeling", str(pictures / "dark" / "0.png"), "--model", str(tmp_path / "run")]
    assert main([*command, "--json"]) == 2
    assert "--output FOLDER" in capsys.readouterr().err
    assert main([*command, "--json", "--output", str(tmp_path / "made")]) == 0
    (made,) = json.loads(capsys.readouterr().out)
    assert np.array_equal(np.asarray(Image.open(made["image"])), np.asarray(found["image"]))


def test_command(directory, pictures, capsys):
    from mf_core.cli import main

    picture = str(pictures / "dark" / "0.png")
    assert main(["run", "image_classification", picture, "--model", str(directory), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert [set(each) for each in found] == [{"score", "label"}] * 3
    assert main(["run", "image_classification", "none.png", "--model", str(directory)]) == 2
    assert "there is no picture none.png" in capsys.readouterr().err
