"""GPT-2 learns to classify texts, from the weights of its language model."""

import pytest

from mf_core import Trainer, TrainingArguments
from mf_core.testing import ModelContract

DATA = [
    {"text": "Tom went to the park with his dog.", "label": "park"}, {"text": "The park was big.", "label": "park"},
    {"text": "Once there was a cat", "label": "home"}, {"text": "Mia stayed at home and read a book.", "label": "home"},
]  # fmt: skip


class TestGPT2Classifier(ModelContract):
    distribution = "mf-gpt2"
    model_type = "gpt2"
    head = "sequence_classification"
    config = {"vocab_size": 96, "hidden_size": 32, "num_layers": 1, "num_heads": 4, "seq_length": 64, "num_labels": 3}


def test_classifier_learns(tmp_path):
    args = TrainingArguments(
        output_dir=str(tmp_path), max_steps=8, batch_size=4, learning_rate=1e-2, save_strategy="no", seed=1,
        warmup_steps=0, logging_steps=8,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="have no score"):
        trainer = Trainer(args, "text_classification", model="gpt2_tiny", train_dataset=DATA, eval_dataset=DATA)
    trainer.train()
    assert trainer.evaluate()["accuracy"] == 1
    assert trainer.predict(input_data="The park was big.")[0][0]["label"] == "park"
