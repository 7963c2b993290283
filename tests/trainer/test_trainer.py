"""Training a small model on one device."""

import json

import mindspore as ms
import numpy as np
import pytest

from mf_core import AutoModel, AutoTokenizer, Trainer, TrainingArguments
from mf_core.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    FileMissingError,
    InputTooLongError,
    NotRegisteredError,
)

from ..support.training import (
    arguments,
    assert_equal_weights,
    counting_rows,
    make_trainer,
    small_model,
    weights_of,
    write_jsonl,
)


def test_training_learns_and_saves_a_model_that_loads(tmp_path, capsys):
    trainer = make_trainer(
        tmp_path, max_steps=40, warmup_steps=5, lr_scheduler_type="cosine", logging_steps=10
    )  # fmt: skip
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


def test_the_same_seed_gives_the_same_run_bit_for_bit(tmp_path):
    def run(**changes):
        model = small_model(num_layers=1, hidden_dropout_rate=0.1)
        return make_trainer(tmp_path, model=model, **changes).train().losses

    losses = run(seed=3)
    assert run(seed=3) == losses
    assert run(seed=4) != losses
    assert run(seed=3, data_seed=9) != losses


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
        assert all(len(row["input_ids"]) == 33 for row in examples)
        whole = tokenizer.decode([i for row in examples for i in row["input_ids"]], skip_special_tokens=False)
        assert whole.replace("<|pad|>", "") == "".join(text + "<|endoftext|>" for text in texts)
        losses.append(len(examples))
    assert len(set(losses)) == 1


def test_dataset_objects_keep_their_own_batches(tmp_path):
    from mindspore.dataset import GeneratorDataset

    def generator():
        yield from counting_rows(32)

    dataset = GeneratorDataset(generator, column_names=["input_ids"], shuffle=False).batch(batch_size=4)
    assert make_trainer(tmp_path, dataset=dataset, max_steps=-1, num_train_epochs=2).train().steps == 2 * 8


def log_probs_of(model, ids):
    logits = model(ms.Tensor(np.array([ids], np.int32))).asnumpy()[0].astype(np.float64)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def test_documents_packed_apart_are_trained_as_if_each_were_alone(tmp_path):
    model, documents = small_model(), [[1, 2, 3, 4, 5], [9, 8, 7], [20, 21, 22, 23]]
    ids = np.full(17, 63, np.int32)
    segments = np.zeros(17, np.int32)
    ids[:12], segments[:12] = np.concatenate(documents), np.repeat([1, 2, 3], [5, 3, 4])
    example = {"input_ids": ids, "segment_ids": segments}
    trainer = make_trainer(tmp_path, model=model, options={"eval_dataset": [example]})
    metrics = trainer.evaluate()
    losses = [-log_probs_of(model, d[:-1])[np.arange(len(d) - 1), d[1:]] for d in documents]
    assert metrics["tokens"] == 4 + 2 + 3
    assert metrics["loss"] == pytest.approx(np.concatenate(losses).mean(), rel=1e-5)
    joined = make_trainer(tmp_path, model=model, options={"eval_dataset": [{"input_ids": ids}]}).evaluate()
    assert joined["tokens"] == 12 and joined["loss"] != pytest.approx(metrics["loss"], rel=1e-3)


def test_texts_packed_apart_train(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained("gpt2_tiny")
    texts = ["Once upon a time there was a fox.", "In a wood lived an owl.", "The end."] * 30
    trainer = make_trainer(
        tmp_path, model=small_model(vocab_size=1024, pad_token_id=1), dataset=texts, packing="apart", max_steps=20,
        options={"tokenizer": tokenizer},
    )  # fmt: skip
    result = trainer.train()
    assert result.losses[20] < 0.8 * result.losses[1]


def test_only_completions_are_learnt(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained("gpt2_tiny")
    record = {"prompt": "Once upon a time", "completion": " there was a fox."}
    path = write_jsonl(tmp_path / "data.jsonl", [record] * 9)
    model = small_model(vocab_size=1024, pad_token_id=1)
    trainer = make_trainer(
        tmp_path, model=model, dataset=path, packing="none", max_steps=1,
        options={"tokenizer": tokenizer, "eval_dataset": path},
    )  # fmt: skip
    prompt, completion = (tokenizer.encode(record[key], add_special_tokens=False) for key in ("prompt", "completion"))
    completion = [*completion, tokenizer.eos_token_id]
    expected = -log_probs_of(model, prompt + completion[:-1])[len(prompt) - 1 :][np.arange(len(completion)), completion]
    metrics = trainer.evaluate()
    assert metrics["tokens"] == 9 * len(completion)
    assert metrics["loss"] == pytest.approx(expected.mean(), rel=1e-5)
    assert trainer.train().tokens == 8 * len(completion)


def test_bad_records_may_be_skipped(tmp_path):
    (tmp_path / "data.jsonl").write_text('{"text": "a fox"}\n' * 40 + "{\n" + '{"text": 3}\n')
    options = {"tokenizer": AutoTokenizer.from_pretrained("gpt2_tiny")}
    model = small_model(vocab_size=1024, pad_token_id=1)
    settings = {"dataset": tmp_path / "data.jsonl", "packing": "none", "max_steps": 1, "options": options}
    with pytest.warns(UserWarning, match=r"2 .*data\.jsonl:41"):
        make_trainer(tmp_path, model=model, on_bad_record="skip", **settings).train()
    with pytest.raises(DataError, match=r"data\.jsonl:41"):
        make_trainer(tmp_path, model=model, **settings).train()


def test_rows_may_be_shorter_than_the_context(tmp_path):
    options = {"tokenizer": AutoTokenizer.from_pretrained("gpt2_tiny")}
    model = small_model(vocab_size=1024, pad_token_id=1)
    settings = {"model": model, "dataset": ["a fox and an owl"] * 60, "max_steps": 1, "options": options}
    trainer = make_trainer(tmp_path, max_seq_length=16, **settings)
    assert {len(row["input_ids"]) for row in trainer.recipe.examples(settings["dataset"])} == {17}
    assert 0 < trainer.train().tokens <= 8 * 16
    with pytest.raises(ArgumentError, match="max_seq_length=64 is more than the model's context of 32"):
        make_trainer(tmp_path, max_seq_length=64, **settings).train()


def test_a_stream_needs_to_know_its_steps(tmp_path):
    def endless():
        while True:
            yield from counting_rows()

    assert make_trainer(tmp_path, dataset=endless(), max_steps=3).train().tokens == 3 * 8 * 16
    with pytest.raises(DataError, match="has no length") as caught:
        make_trainer(tmp_path, dataset=endless(), max_steps=-1).train()
    assert "max_steps" in caught.value.hint
    trainer = make_trainer(tmp_path, dataset=iter(counting_rows(16)), max_steps=5)
    with pytest.warns(UserWarning, match="the train_dataset ended after step 2 of 5"):
        assert trainer.train().steps == 2
    assert_equal_weights(weights_of(AutoModel.from_pretrained(tmp_path / "out")), weights_of(trainer.model))


def test_map_style_data_is_read_as_it_is_needed(tmp_path):
    class Rows:
        read = 0

        def __len__(self):
            return 10_000

        def __getitem__(self, index):
            Rows.read += 1
            return {"input_ids": counting_rows(1)[0]}

    make_trainer(tmp_path, dataset=Rows(), max_steps=3).train()
    assert Rows.read < 400  # 256 for the digest of the data


def test_targets_after_padding_do_not_count(tmp_path):
    model = small_model()
    metrics = make_trainer(tmp_path, model=model, options={"eval_dataset": [[1, 2, 3, 63, 63]]}).evaluate()
    assert metrics["tokens"] == 3
    log_probs = log_probs_of(model, [1, 2, 3])
    expected = -np.mean([log_probs[0, 2], log_probs[1, 3], log_probs[2, 63]])
    assert metrics["loss"] == pytest.approx(expected, rel=1e-5)


def test_sink_mode_runs_and_says_that_it_is_off(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=1, sink_mode=True)
    with pytest.warns(UserWarning, match="sink_mode: data is not sunk"):
        trainer.train()


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
    with pytest.raises(ArgumentTypeError, match="args is a TrainingArguments, not list"):
        Trainer(args=[], task="text_generation", model=small_model())
    with pytest.raises(ArgumentTypeError, match="not NoneType"):
        Trainer(task="text_generation")
    with pytest.raises(ArgumentError, match="pet_method='prefix' is not known"):
        Trainer(task="text_generation", model=small_model(), pet_method="prefix")


def test_a_profile_of_the_run(tmp_path):
    make_trainer(tmp_path, max_steps=2, profile=True).train()
    (trace,) = (tmp_path / "out" / "profile").rglob("trace_view.json")
    assert "MatMul" in trace.read_text() or list((tmp_path / "out" / "profile").rglob("*op_detail*"))


def test_a_model_from_its_configuration(tmp_path):
    config = {"model_type": "gpt2", "vocab_size": 64, "n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 32}
    trainer = make_trainer(tmp_path, model=config, max_steps=2, options={"save_config": True})
    trainer.train()
    assert trainer.model.config.num_layers == 1
    run = TrainingArguments.from_file  # run.yaml holds the trainer's arguments too, so it is more than settings
    with pytest.raises(ArgumentError, match="no field 'task'"):
        run(tmp_path / "out" / "run.yaml")
