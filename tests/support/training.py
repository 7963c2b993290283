"""What the trainer's tests share: a small model, rows it can learn, settings for a short run."""

import json

import numpy as np

from mf_core import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

OFF = dict.fromkeys(("embedding_dropout_prob", "hidden_dropout_rate", "attention_dropout_rate"), 0.0)


def small_model(**changes):
    set_seed(1)
    settings = {
        "vocab_size": 64, "hidden_size": 32, "num_layers": 1, "num_heads": 4, "seq_length": 32, "pad_token_id": 63,
        **OFF,
    }  # fmt: skip
    return GPT2LMHeadModel(GPT2Config(**{**settings, **changes}))


def counting_rows(count=64, length=17):
    """Rows that count upwards modulo 50: the next id is certain."""
    starts = np.random.default_rng(0).integers(0, 50, count)
    return [((start + np.arange(length)) % 50).astype(np.int32) for start in starts]


def arguments(folder, **changes):
    settings = {
        "output_dir": str(folder / "out"), "per_device_train_batch_size": 8, "learning_rate": 1e-2, "max_steps": 6,
        "logging_steps": 1, "save_strategy": "no", "overwrite_output_dir": True,
    }  # fmt: skip
    if "batch_size" in changes:
        settings.pop("per_device_train_batch_size")
    return TrainingArguments(**{**settings, **changes})


def make_trainer(folder, model=None, dataset=None, options=None, **changes):
    return Trainer(
        arguments(folder, **changes), task="text_generation", model=model or small_model(),
        train_dataset=counting_rows() if dataset is None else dataset, **(options or {}),
    )  # fmt: skip


def weights_of(model):
    return {name: np.array(p.asnumpy()) for name, p in model.parameters_and_names()}


def assert_equal_weights(first, second):
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def write_jsonl(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path
