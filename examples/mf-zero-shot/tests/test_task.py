"""What is particular to this task; what every task must do is in test_conformance.py."""

import numpy as np
import pytest
from mf_core import AutoConfig, AutoModel, AutoTokenizer, Trainer, TrainingArguments, pipeline, set_seed
from mf_core.errors import ArgumentError, ArgumentTypeError, DataError, InputTooLongError

TEXTS = ["The frog sang with the owl.", "The frog lost the yellow scarf."]


@pytest.fixture(scope="module")
def tiny():
    return AutoModel.from_pretrained("gpt2_tiny"), AutoTokenizer.from_pretrained("gpt2_tiny")


def test_scores_are_the_models_own_probabilities(tiny):
    import mindspore as ms

    model, tokenizer = tiny
    (found,) = pipeline("zero_shot_classification", model, tokenizer)(TEXTS[0], labels=["wise", "asleep at last"])
    wanted = {}
    for label in ("wise", "asleep at last"):
        start = tokenizer.encode(f"{TEXTS[0]} It was", add_special_tokens=False)
        ids = start + tokenizer.encode(f" {label}", add_special_tokens=False)
        logits = model(ms.Tensor([ids], ms.int32)).asnumpy()[0].astype(np.float64)
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        wanted[label] = sum(logs[position - 1, ids[position]] for position in range(len(start), len(ids)))
    shares = np.exp(np.array(list(wanted.values())))
    shares /= shares.sum()
    assert dict(zip(found["labels"], found["scores"], strict=True)) == pytest.approx(
        dict(zip(wanted, shares, strict=True)), rel=1e-3
    )
    assert found["scores"] == sorted(found["scores"], reverse=True)


def test_training_tells_the_labels_apart(tmp_path, tiny):
    set_seed(1)
    config = AutoConfig.from_pretrained("gpt2_tiny", num_layers=1, hidden_size=32, num_heads=2)
    model, tokenizer = AutoModel.from_config(config), tiny[1]
    records = [{"text": text, "label": label} for text, label in zip(TEXTS, ("glad", "sad"), strict=True)] * 4
    args = TrainingArguments(
        output_dir=str(tmp_path), max_steps=20, batch_size=4, learning_rate=1e-2, save_strategy="no"
    )
    trainer = Trainer(
        args, task="zero_shot_classification", model=model, tokenizer=tokenizer, train_dataset=records,
        eval_dataset=records[:3],
    )  # fmt: skip
    trainer.train()
    metrics = trainer.evaluate()
    assert (metrics["examples"], metrics["accuracy"], "tokens" in metrics) == (3, 1.0, False)
    results = trainer.predict(input_data=TEXTS, labels=["sad", "glad"])
    assert [result["labels"][0] for result in results] == ["glad", "sad"]


def test_bad_input_is_refused(tiny, tmp_path):
    classify = pipeline("zero-shot-classification", *tiny)
    for labels in (["good"], ["good", "good"], ["good", ""], "good", [1, 2]):
        with pytest.raises(ArgumentError, match="two or more different words"):
            classify(TEXTS[0], labels=labels)
    with pytest.raises(ArgumentError, match="ends? in {label}"):
        classify(TEXTS[0], prompt="{label}: {text}")
    with pytest.raises(ArgumentTypeError):
        classify([5])
    with pytest.raises(InputTooLongError):
        classify(TEXTS[0] * 60)
    args = TrainingArguments(output_dir=str(tmp_path), max_steps=1)
    for records, message in (
        ([{"text": "no label"}], "record 0"), ([{"text": "one", "label": "a"}], "1 labels"),
    ):  # fmt: skip
        with pytest.raises(DataError, match=message):
            Trainer(args, "zero_shot_classification", tiny[0], tokenizer=tiny[1], train_dataset=records).train()
