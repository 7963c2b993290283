"""What a run refuses, keeps and saves when something goes wrong; and what making a trainer leaves alone."""

import json

import mindspore as ms
import numpy as np
import pytest

from mf_core import AutoModel, AutoTokenizer, LoraConfig, add_lora
from mf_core.errors import ArgumentError, ArgumentTypeError, CheckpointError, DataError, IntegrityError
from mf_core.trainer.evaluation import as_numbers

from ..support.training import assert_equal_weights, counting_rows, make_trainer, small_model, weights_of

CONFIG = {"model_type": "gpt2", "vocab_size": 64, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
EACH_STEP = {"eval_strategy": "steps", "eval_steps": 1, "metric_for_best_model": "f1", "save_strategy": "steps"}


def values(*numbers):
    iterator = iter(numbers)
    return lambda prediction: {"f1": next(iterator)}


def run(folder, model=None, metrics=None, callbacks=None, **changes):
    options = {"eval_dataset": counting_rows(8), "compute_metrics": metrics, "callbacks": callbacks}
    return make_trainer(folder, model=model or small_model(num_layers=1), options=options, **changes)


def test_the_best_of_a_run_with_nan_and_scalars_of_other_libraries(tmp_path):
    seen = []

    class End:
        def on_train_end(self, args, state, control, model, **kwargs):
            seen.append((weights_of(model), weights_of(AutoModel.from_pretrained(args.output_dir))))

    metrics = values(float("nan"), np.float32(0.2), ms.Tensor(0.9), np.array(0.3))
    trainer = run(tmp_path, metrics=metrics, callbacks=End(), max_steps=4, load_best_model_at_end=True, **EACH_STEP)
    with pytest.warns(UserWarning, match="f1 is not a number at step 1: that is never the best"):
        trainer.train()
    assert trainer.state.best_model_checkpoint == "checkpoint-3"
    assert trainer.state.best_metric == pytest.approx(0.9)
    best = weights_of(AutoModel.from_pretrained(tmp_path / "out" / "checkpoint-3"))
    for weights in (*seen[0], weights_of(trainer.model)):
        assert_equal_weights(best, weights)
    lines = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line)["eval_f1"] for line in lines if "eval_f1" in line]
    assert found == [None, pytest.approx(0.2), pytest.approx(0.9), pytest.approx(0.3)]
    assert "step 4 of 4" in repr(trainer) and "GPT2LMHeadModel with 15" in repr(trainer)

    # Resumed into another folder, where the best checkpoint is not.
    again = run(tmp_path / "b", metrics=values(0.1), max_steps=5, load_best_model_at_end=True, **EACH_STEP)
    with pytest.warns(UserWarning, match="checkpoint-3, is missing; the last weights are kept"):
        again.train(resume_training=tmp_path / "out")
    assert (tmp_path / "b" / "out" / "model.safetensors").exists()

    # Other data, edited state files.
    with pytest.raises(CheckpointError, match="its data has other contents"):
        make_trainer(tmp_path, dataset=[row[::-1].copy() for row in counting_rows()], max_steps=9).train(
            resume_training=True
        )
    file = tmp_path / "out" / "checkpoint-4" / "trainer_state.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "own": [str(tmp_path)]}))
    with pytest.raises(IntegrityError, match="is damaged"):
        run(tmp_path, max_steps=9).train(resume_training=True)


@pytest.mark.parametrize(
    ("value", "expected"), [(np.float64(0.5), 0.5), (np.int64(3), 3), (True, 1), (np.array([0.25]), 0.25), (7, 7)]
)
def test_metrics_are_numbers_of_python(value, expected):
    found = as_numbers({"x": value}, "compute_metrics")["x"]
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("metrics", [None, 0.5, {"x": "high"}, {"x": np.ones(2)}, {5: 0.5}, {"x": None}])
def test_metrics_that_are_not_numbers_are_named(metrics):
    with pytest.raises(ArgumentTypeError, match="compute_metrics returned"):
        as_numbers(metrics, "compute_metrics")


def test_an_error_in_a_callback_leaves_a_checkpoint_of_the_last_step(tmp_path):
    class Fail:
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 3:
                raise KeyError("oops")

    with pytest.raises(KeyError, match="oops"):
        run(tmp_path, callbacks=Fail(), save_strategy="steps").train()
    assert (tmp_path / "out" / "checkpoint-3" / "model.safetensors").exists()


def test_what_can_be_known_is_checked_before_the_first_step(tmp_path):
    begun = []

    class Begin:
        def on_train_begin(self, *args, **kwargs):
            begun.append(1)

    model = small_model(num_layers=1)
    model.save_pretrained(tmp_path / "out")
    cases = [
        ({"overwrite_output_dir": False}, {}, "holds a model of another run"),
        ({}, {"pet_method": "lora"}, "holds a model, which would be found there instead of the adapter"),
        ({"do_eval": True}, {"eval_dataset": None}, "there is no eval_dataset"),
        ({"do_eval": True, "metric_for_best_model": "f1"}, {}, "metric_for_best_model='f1' is not among the metrics"),
        ({"do_eval": True}, {"eval_dataset": [[1, 2, 64]]}, "outside the vocabulary"),
        ({}, {"train_dataset": None}, "no train_dataset"),
    ]
    for changes, options, message in cases:
        given = {"eval_dataset": counting_rows(8), "callbacks": Begin(), **options}
        trainer = make_trainer(tmp_path, model=small_model(num_layers=1), **changes)
        trainer.train_dataset = given.get("train_dataset", trainer.train_dataset)
        trainer = type(trainer)(
            trainer.args, task="text_generation", model=trainer.model,
            **{"train_dataset": trainer.train_dataset, **given},
        )  # fmt: skip
        with pytest.raises((ArgumentError, DataError), match=message):
            trainer.train()
    assert not begun


def test_making_a_trainer_does_not_change_the_model(tmp_path):
    model = small_model(num_layers=1)
    before = model.compute_dtype
    trainer = make_trainer(tmp_path, model=model, dtype="float16", max_steps=1)
    assert model.compute_dtype == before
    trainer.train()
    assert model.compute_dtype == before


def test_a_model_given_as_a_mapping_has_the_recipes_head_and_the_seeds_weights(tmp_path):
    trainers = [make_trainer(tmp_path, model=CONFIG, seed=seed) for seed in (3, 3, 4)]
    first, second, other = (weights_of(trainer.model) for trainer in trainers)
    assert type(trainers[0].model).__name__ == "GPT2LMHeadModel"
    assert_equal_weights(first, second)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_the_flops_are_those_of_products(tmp_path):
    model = small_model(num_layers=1, tie_word_embeddings=True)
    products = 32 * (96 + 32 + 128 + 128)
    attention = 12 * 32 * 10
    assert model.flops_per_token(10) == 6 * (products + 64 * 32) + attention
    add_lora(model, LoraConfig(r=2, target_modules=("c_attn",)))
    assert model.flops_per_token(10) == 4 * (products + 64 * 32) + 6 * 2 * (32 + 96) + attention


def test_the_mask_marks_padding(tmp_path, capsys):
    """With pad = EOS, the number of targets does not jump where rows are exactly full."""
    tokenizer = AutoTokenizer.from_pretrained("gpt2_tiny", pad_token="<|endoftext|>")
    model = small_model(num_layers=1, vocab_size=1024, pad_token_id=tokenizer.pad_token_id)
    text = "cat"
    each = len(tokenizer.encode(text, add_special_tokens=False)) + 1
    options = {"tokenizer": tokenizer, "eval_dataset": [text] * 33}
    trainer = make_trainer(tmp_path, model=model, max_seq_length=each * 11 - 1, options=options)
    assert trainer.evaluate()["tokens"] == 3 * (each * 11 - 1)
    trainer.eval_dataset = [text] * 34
    assert trainer.evaluate()["tokens"] == 3 * (each * 11 - 1) + each - 1
    # No row has a target.
    rows = [{"input_ids": row, "loss_mask": np.zeros(17, np.uint8)} for row in counting_rows(16)]
    with pytest.raises(DataError, match="none of the 16 rows has a target"):
        make_trainer(tmp_path, dataset=rows).train()
    trainer.eval_dataset = rows
    with pytest.raises(DataError, match="has no targets"):
        make_trainer(tmp_path, options={"eval_dataset": rows}).evaluate()
    rows[0]["loss_mask"] = np.ones(17, np.uint8)
    with pytest.warns(UserWarning, match="15 of 16 rows have no targets"):
        make_trainer(tmp_path, dataset=rows, batch_size=16, max_steps=1).train()
    assert "data: 272 tokens, 16 rows of 17 ids, 1 steps an epoch, 1 steps" in capsys.readouterr().err


def test_steps_without_targets_change_nothing(tmp_path):
    """Not even by weight decay; as in a stream, whose targets are not known before."""

    class Stream:
        def __iter__(self):
            for row in counting_rows(64):
                yield {"input_ids": row, "loss_mask": np.zeros(17, np.uint8)}

    trainer = make_trainer(tmp_path, dataset=Stream(), max_steps=2, weight_decay=0.1)
    before = weights_of(trainer.model)
    with pytest.warns(UserWarning, match="2 steps had no targets and changed nothing"):
        trainer.train()
    assert_equal_weights(before, weights_of(trainer.model))
