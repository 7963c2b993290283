"""Training a small model on one device."""

import json

import mindspore as ms
import numpy as np
import pytest

from mf_core import AutoModel, AutoTokenizer, GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed
from mf_core.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    FileMissingError,
    InputTooLongError,
    NotRegisteredError,
    TrainingError,
    UnsupportedError,
)


def small_model(**changes):
    set_seed(1)
    settings = {
        "vocab_size": 64, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "seq_length": 32, "pad_token_id": 63,
        "embedding_dropout_prob": 0.0, "hidden_dropout_rate": 0.0, "attention_dropout_rate": 0.0,
    }  # fmt: skip
    return GPT2LMHeadModel(GPT2Config(**{**settings, **changes}))


def counting_rows(count=64, length=17):
    """Rows that count upwards modulo 50: the next id is certain."""
    starts = np.random.default_rng(0).integers(0, 50, count)
    return [((start + np.arange(length)) % 50).astype(np.int32) for start in starts]


def arguments(tmp_path, **changes):
    settings = {
        "output_dir": str(tmp_path / "out"), "batch_size": 8, "learning_rate": 1e-2, "max_steps": 40, "warmup_steps": 5,
        "lr_scheduler_type": "cosine", "logging_steps": 10,
    }  # fmt: skip
    return TrainingArguments(**{**settings, **changes})


def test_training_learns_and_saves_a_model_that_loads(tmp_path, capsys):
    trainer = Trainer(
        task="text_generation", model=small_model(), args=arguments(tmp_path), train_dataset=counting_rows()
    )
    result = trainer.train()
    assert result.steps == 40
    assert list(result.losses) == [10, 20, 30, 40]
    assert result.losses[10] > 2 * result.loss
    assert result.tokens == 40 * 8 * 16
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith("step ")]) == 4
    for part in ("step 40/40", "loss ", "lr ", "grad norm ", "tokens/s", "ETA 0:00"):
        assert part in lines[-1]
    loaded = AutoModel.from_pretrained(tmp_path / "out")
    ids = ms.Tensor(np.array([counting_rows()[0]]))
    np.testing.assert_array_equal(loaded(ids).asnumpy(), trainer.model(ids).asnumpy())
    assert not trainer.model.training


def test_the_same_seed_gives_the_same_run_to_the_bit(tmp_path):
    def run(**changes):
        trainer = Trainer(
            task="text_generation", model=small_model(hidden_dropout_rate=0.1),
            args=arguments(tmp_path, max_steps=6, logging_steps=1, **changes), train_dataset=counting_rows(),
        )  # fmt: skip
        return trainer.train().losses

    assert run(seed=3) == run(seed=3)
    assert run(seed=3) != run(seed=4)
    assert run(seed=3, data_seed=9) != run(seed=3)


def test_text_files_are_packed(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained("gpt2_tiny")
    texts = [f"Once upon a time there was a fox named Ada, number {n}." for n in range(40)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (tmp_path / "data.txt").write_text("\n\n".join(texts))
    model = small_model(vocab_size=1024, pad_token_id=1)
    losses = []
    for dataset in (str(tmp_path / "data.jsonl"), tmp_path / "data.txt", texts):
        trainer = Trainer(
            task="text_generation", model=model, tokenizer=tokenizer, args=arguments(tmp_path), train_dataset=dataset
        )
        examples = trainer.recipe.examples(dataset)
        assert all(len(row) == 33 for row in examples)
        whole = tokenizer.decode([i for row in examples for i in row], skip_special_tokens=False)
        assert whole.replace("<|pad|>", "") == "".join(text + "<|endoftext|>" for text in texts)
        losses.append(len(examples))
    assert len(set(losses)) == 1


def test_dataset_objects_keep_their_own_batches(tmp_path):
    from mindspore.dataset import GeneratorDataset

    def generator():
        yield from counting_rows(32)

    dataset = GeneratorDataset(generator, column_names=["input_ids"], shuffle=False).batch(batch_size=4)
    trainer = Trainer(
        task="text_generation", model=small_model(), train_dataset=dataset,
        args=arguments(tmp_path, max_steps=-1, num_train_epochs=2, logging_steps=1),
    )  # fmt: skip
    assert trainer.train().steps == 2 * 8


def test_targets_after_padding_do_not_count(tmp_path):
    from mf_core.tasks.causal_lm import CausalLMLoss

    model = small_model()
    ids = np.array([[1, 2, 3, 63, 63]], np.int32)
    loss, targets = CausalLMLoss(model)(ms.Tensor(ids))
    assert targets.asnumpy() == 3
    logits = model(ms.Tensor(ids[:, :3])).asnumpy()[0].astype(np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -np.mean([log_probs[0, 2], log_probs[1, 3], log_probs[2, 63]])
    np.testing.assert_allclose(loss.asnumpy(), expected, rtol=1e-5)


def test_sink_mode_runs_and_says_that_it_is_off(tmp_path):
    trainer = Trainer(
        task="text_generation", model=small_model(), train_dataset=counting_rows(),
        args=arguments(tmp_path, max_steps=1, sink_mode=True),
    )  # fmt: skip
    with pytest.warns(UserWarning, match="sink_mode: data is not sunk"):
        trainer.train()


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    model = small_model()
    weight = dict(model.parameters_and_names())["transformer.ln_f.weight"]
    weight.set_data(ms.Tensor(np.full(32, np.nan, np.float32)))
    trainer = Trainer(task="text_generation", model=model, args=arguments(tmp_path), train_dataset=counting_rows())
    with pytest.raises(TrainingError, match="the loss of step 1 is nan") as caught:
        trainer.train()
    assert "learning_rate" in caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("dataset", "error", "message"),
    [
        (None, DataError, "no train_dataset"),
        ([], DataError, "train_dataset is empty"),
        ([[1, 2, 3], [1, 2]], DataError, "record 1 has 2 ids, record 0 has 3"),
        ([[1, 2, 3], [1, 2, 64]], DataError, "record 1 has an id outside the vocabulary of 64"),
        ([[0.5, 1.0]], DataError, "record 0 is not a row"),
        ([{"ids": [1, 2]}], DataError, "record 0 is not a row"),
        ([list(range(34))], InputTooLongError, "record 0 has 34 ids; a row may have 33"),
        ([[1, 2, 3]], DataError, "there are 1 examples, fewer than a batch of 8"),
        (["a text"], DataError, "there is no tokenizer"),
        ("./nowhere.jsonl", FileMissingError, "nowhere.jsonl"),
    ],
)
def test_bad_data_is_named(tmp_path, dataset, error, message):
    trainer = Trainer(task="text_generation", model=small_model(), args=arguments(tmp_path), train_dataset=dataset)
    with pytest.raises(error, match=message):
        trainer.train()


@pytest.mark.parametrize(
    ("line", "message"), [("{", "data.jsonl:2 is not a JSON object"), ('{"text": 3}', "'text' is a int"), ("[]", ":2")]
)
def test_bad_lines_are_named(tmp_path, line, message):
    (tmp_path / "data.jsonl").write_text('{"text": "a"}\n' + line + "\n")
    trainer = Trainer(
        task="text_generation", model=small_model(vocab_size=1024), args=arguments(tmp_path),
        tokenizer=AutoTokenizer.from_pretrained("gpt2_tiny"), train_dataset=str(tmp_path / "data.jsonl"),
    )  # fmt: skip
    with pytest.raises(DataError, match=message):
        trainer.train()


def test_trainer_refuses_what_it_does_not_know(tmp_path):
    with pytest.raises(NotRegisteredError, match="task 'general'"):
        Trainer(model=small_model())
    with pytest.raises(ArgumentTypeError, match="args is a TrainingArguments, not dict"):
        Trainer(args={}, task="text_generation", model=small_model())
    with pytest.raises(ArgumentTypeError, match="not NoneType"):
        Trainer(task="text_generation")
    with pytest.raises(UnsupportedError, match="pet_method"):
        Trainer(task="text_generation", model=small_model(), pet_method="lora")
    half = small_model(param_init_type="float16")
    trainer = Trainer(task="text_generation", model=half, args=arguments(tmp_path), train_dataset=counting_rows())
    with pytest.raises(UnsupportedError, match="training wants fp32 parameters"):
        trainer.train()


def test_arguments_are_checked():
    with pytest.raises(ArgumentError, match="no field 'learning_rat'") as caught:
        TrainingArguments(learning_rat=1)
    assert "learning_rate" in caught.value.hint
    with pytest.raises(ArgumentError, match="learning_rate=-1"):
        TrainingArguments(learning_rate=-1)
    with pytest.raises(ArgumentError, match="same setting"):
        TrainingArguments(batch_size=2, per_device_train_batch_size=4)
    with pytest.raises(UnsupportedError, match="optim='adafactor'"):
        TrainingArguments(optim="adafactor")
    assert TrainingArguments(batch_size=3).per_device_train_batch_size == 3
    assert TrainingArguments(optim="AdamWeightDecay").learning_rate == 5e-5


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("linear", [0, 0.5, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0, 0.5, 1, 0.853553, 0.5, 0.146447]),
        ("polynomial", [0, 0.5, 1, 0.775, 0.55, 0.325]),
        ("constant", [1, 1, 1, 1, 1, 1]),
        ("constant_with_warmup", [0, 0.5, 1, 1, 1, 1]),
    ],
)
def test_schedules(kind, expected):
    from mf_core.trainer.schedule import schedule

    args = TrainingArguments(learning_rate=2.0, warmup_steps=2, lr_scheduler_type=kind, lr_end=0.2)
    rate = schedule(args, 6)
    np.testing.assert_allclose([rate(step) / 2 for step in range(6)], expected, atol=1e-6)
