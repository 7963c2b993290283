"""Evaluation: its numbers, when it happens, what follows from it; predictions; callbacks."""

import json
import math

import mindspore as ms
import numpy as np
import pytest

from mf_core import AutoModel, AutoTokenizer, Callback, Trainer, TrainingArguments
from mf_core.errors import ArgumentError, ArgumentTypeError, DataError
from mf_core.tasks.causal_lm import CausalLMRecipe
from mf_core.trainer.checkpoints.store import checkpoints
from mf_core.trainer.evaluation import Evaluator

from ..support import training
from ..support.training import OFF, arguments, assert_equal_weights, counting_rows, weights_of


def small_model(**changes):
    """A model of one layer: nothing here depends on how many there are."""
    return training.small_model(**{"num_layers": 1, **changes})


def make_trainer(folder, model=None, **changes):
    return training.make_trainer(folder, model=model or small_model(), **changes)


def expected_loss(model, rows):
    """The mean over all targets, in double precision."""
    logits = model(ms.Tensor(np.stack(rows)[:, :-1])).asnumpy().astype(np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    targets = np.stack(rows)[:, 1:]
    return -np.take_along_axis(log_probs, targets[..., None], -1).mean()


@pytest.mark.parametrize("size", [4, 11, 16])
def test_evaluation_counts_every_target_once(tmp_path, size):
    """Also those of a last batch that is smaller than the others."""
    rows, model = counting_rows(11), small_model()
    trainer = make_trainer(tmp_path, model=model, per_device_eval_batch_size=size, options={"eval_dataset": rows})
    metrics = trainer.evaluate()
    assert list(metrics) == ["loss", "perplexity", "tokens"]
    assert metrics["loss"] == pytest.approx(expected_loss(model, rows), rel=1e-5)
    assert metrics["perplexity"] == pytest.approx(math.exp(metrics["loss"]))
    assert metrics["tokens"] == 11 * 16
    assert not model.training


def test_recipes_have_metrics_of_predictions_and_count_examples(tmp_path):
    class LastToken(CausalLMRecipe):
        unit = "examples"

        def compute_metrics(self, prediction):
            last = prediction.predictions[:, -1] == prediction.label_ids[:, -1]
            return {"accuracy": float(last.mean()), "seen": len(last)}

    model, rows, args = small_model(), counting_rows(5), arguments(tmp_path, per_device_eval_batch_size=4)
    metrics = Evaluator(model, LastToken(model, None, args), args, lambda p: {"mine": len(p.predictions)}).run(rows)
    assert list(metrics) == ["loss", "perplexity", "examples", "accuracy", "seen", "mine"]
    assert (metrics["seen"], metrics["mine"], metrics["examples"]) == (5, 5, 5 * 16)


def test_compute_metrics_gets_predictions_and_labels(tmp_path):
    rows = counting_rows(11)
    rows[0][5:] = 63
    seen = {}

    def accuracy(prediction):
        seen["shapes"] = prediction.predictions.shape, prediction.label_ids.shape
        counted = prediction.label_ids != -100
        seen["count"] = int(counted.sum())
        return {"accuracy": float((prediction.predictions == prediction.label_ids)[counted].mean())}

    options = {"eval_dataset": rows, "compute_metrics": accuracy}
    trainer = make_trainer(tmp_path, max_steps=60, per_device_eval_batch_size=4, options=options)
    assert trainer.evaluate()["accuracy"] < 0.3
    trainer.train()
    assert trainer.evaluate()["accuracy"] > 0.8
    assert seen == {"shapes": ((11, 16), (11, 16)), "count": 10 * 16 + 5}
    with pytest.raises(ArgumentError, match="compute_metrics='accuracy' is not a function"):
        make_trainer(tmp_path, options={"compute_metrics": "accuracy"})


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"eval_strategy": "steps", "eval_steps": 4}, [4, 8]),
        ({"eval_strategy": "epoch"}, [8, 10]),
        ({"do_eval": True}, [8, 10]),
        ({"eval_step_interval": 5}, [5, 10]),
    ],
)
def test_evaluations_while_training(tmp_path, settings, steps):
    options = {"eval_dataset": counting_rows(8)}
    trainer = make_trainer(tmp_path, max_steps=10, logging_steps=5, options=options, **settings)
    result = trainer.train()
    evaluations = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    assert [entry["step"] for entry in evaluations] == steps
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "eval_loss" in line] == steps
    assert set(result.metrics) == {"loss", "perplexity", "tokens"}
    assert evaluations[-1]["eval_loss"] == result.metrics["loss"]


def test_train_evaluates_on_request(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=8, options={"eval_dataset": counting_rows(8)})
    assert trainer.train(do_eval=True).metrics["tokens"] == 8 * 16


def test_the_best_weights_come_back_and_patience_ends_the_run(tmp_path):
    """A rate that first helps and then, far too high, harms: the best evaluation is in between."""

    class Harm(Callback):
        def on_step_end(self, args, state, control, model=None, **kwargs):
            if state.global_step > 10:
                weight = dict(model.parameters_and_names())["transformer.wte.weight"]
                noise = np.random.default_rng(state.global_step).normal(0, 0.5, weight.shape)
                ms.ops.assign(weight, weight + ms.Tensor(noise.astype(np.float32)))

    options = {"eval_dataset": counting_rows(8), "callbacks": [Harm()]}
    trainer = make_trainer(
        tmp_path, max_steps=40, eval_strategy="steps", eval_steps=5, save_strategy="steps", save_steps=5,
        save_total_limit=1, load_best_model_at_end=True, early_stopping_patience=2, options=options,
    )  # fmt: skip
    result = trainer.train()
    assert result.steps == 20  # evaluations at 5 and 10 are ever better, 15 and 20 are not
    assert trainer.state.best_model_checkpoint == "checkpoint-10"
    assert [path.name for path in checkpoints(tmp_path / "out")] == ["checkpoint-10", "checkpoint-20"]
    best = weights_of(AutoModel.from_pretrained(tmp_path / "out" / "checkpoint-10"))
    assert_equal_weights(weights_of(trainer.model), best)
    assert_equal_weights(weights_of(AutoModel.from_pretrained(tmp_path / "out")), best)
    assert trainer.evaluate()["loss"] == pytest.approx(trainer.state.best_metric)


def test_a_metric_that_is_not_there(tmp_path):
    options = {"eval_dataset": counting_rows(8)}
    trainer = make_trainer(tmp_path, do_eval=True, metric_for_best_model="accuracy", options=options)
    with pytest.raises(ArgumentError, match="'accuracy' is not among the metrics") as caught:
        trainer.train()
    assert "perplexity" in caught.value.hint


def test_a_metric_of_which_more_is_better(tmp_path):
    options = {"eval_dataset": counting_rows(8), "compute_metrics": lambda p: {"score": -1.0}}
    trainer = make_trainer(tmp_path, do_eval=True, metric_for_best_model="eval_score", max_steps=8, options=options)
    trainer.train()
    assert trainer.args.more_is_better and trainer.state.best_metric == -1.0


def test_without_data_for_it(tmp_path):
    with pytest.raises(DataError, match="there is no eval_dataset"):
        make_trainer(tmp_path).evaluate()
    with pytest.raises(DataError, match="eval_dataset"):
        make_trainer(tmp_path, options={"eval_dataset": []}).evaluate()


def test_evaluate_and_predict_from_a_checkpoint(tmp_path):
    rows = counting_rows(8)
    trained = make_trainer(tmp_path, max_steps=30, options={"eval_dataset": rows})
    trained.train()
    loss = trained.evaluate()["loss"]
    fresh = make_trainer(tmp_path, model=small_model(), options={"eval_dataset": rows})
    assert fresh.evaluate()["loss"] > 2 * loss
    assert fresh.evaluate(eval_checkpoint=True)["loss"] == pytest.approx(loss, rel=1e-6)
    other = make_trainer(tmp_path, model=small_model(), options={"eval_dataset": rows})
    assert other.evaluate(str(tmp_path / "out"))["loss"] == pytest.approx(loss, rel=1e-6)


def test_finetune_begins_with_a_checkpoints_weights(tmp_path):
    make_trainer(tmp_path, max_steps=30).train()
    settings = {"output_dir": str(tmp_path / "second"), "max_steps": 1}
    first = make_trainer(tmp_path, model=small_model(), **settings).finetune(tmp_path / "out")
    assert first.losses[1] < 0.7 * make_trainer(tmp_path, model=small_model(), **settings).finetune().losses[1]


def test_predict_uses_the_tasks_pipeline(tmp_path):
    trainer = Trainer(TrainingArguments(output_dir=str(tmp_path)), task="text_generation", model="gpt2_tiny")
    options = {"max_new_tokens": 5, "do_sample": False}
    (one,) = trainer.predict(input_data="Once upon", **options)
    assert one["text_generation_text"][0].startswith("Once upon")
    both = trainer.predict(input_data=["Once upon", "In a"], batch_size=2, **options)
    assert len(both) == 2 and both[0] == one
    with pytest.raises(ArgumentTypeError, match="input_data"):
        trainer.predict()


class Events(Callback):
    """Writes down what is called."""

    def __init__(self):
        self.calls = []

    def __getattribute__(self, name):
        if name.startswith("on_"):
            return lambda args, state, control, **kwargs: self.calls.append((name, state.global_step, sorted(kwargs)))
        return super().__getattribute__(name)


def test_the_events_of_a_run(tmp_path):
    events, evaluation = Events(), Events()
    options = {"eval_dataset": counting_rows(8), "callbacks": events, "eval_callbacks": [evaluation]}
    make_trainer(
        tmp_path, dataset=counting_rows(16), max_steps=2, eval_strategy="epoch", save_strategy="epoch", options=options
    ).train()
    names = [(name, step) for name, step, _ in events.calls]
    assert names == [
        ("on_train_begin", 0), ("on_epoch_begin", 0), ("on_step_begin", 0), ("on_step_end", 1), ("on_log", 1),
        ("on_step_begin", 1), ("on_step_end", 2), ("on_epoch_end", 2), ("on_log", 2), ("on_evaluate", 2),
        ("on_save", 2), ("on_train_end", 2),
    ]  # fmt: skip
    assert [name for name, _, _ in evaluation.calls] == ["on_evaluate_begin", "on_evaluate"]
    given = {name: kwargs for name, _, kwargs in events.calls}
    assert given["on_log"] == ["logs", "model", "tokenizer", "trainer"]
    assert "metrics" in given["on_evaluate"] and "loss" in given["on_step_end"] and "checkpoint" in given["on_save"]


def test_callbacks_steer_the_run(tmp_path):
    class Steer:
        def on_step_end(self, args, state, control, **kwargs):
            control.should_epoch_stop = state.global_step == 3
            control.should_save = state.global_step == 4
            control.should_training_stop = state.global_step == 6

    trainer = make_trainer(tmp_path, max_steps=20, options={"callbacks": Steer()})
    assert trainer.train().steps == 6
    assert (trainer.state.epoch_number, trainer.state.batches_taken) == (1, 3)  # the first pass ended after 3 of 8
    assert [path.name for path in checkpoints(tmp_path / "out")] == ["checkpoint-4"]


def test_callbacks_of_mindspore(tmp_path, capsys):
    from mindspore.train import Callback as MindSporeCallback
    from mindspore.train import LossMonitor

    class Stop(MindSporeCallback):
        def step_end(self, run_context):
            if run_context.original_args().cur_step_num == 3:
                run_context.request_stop()

    result = make_trainer(tmp_path, max_steps=9, options={"callbacks": [LossMonitor(), Stop()]}).train()
    assert result.steps == 3
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch: 1 step:")]
    assert len(lines) == 3
    assert float(lines[2].split()[-1]) == pytest.approx(result.losses[3])


def test_what_is_no_callback(tmp_path):
    with pytest.raises(ArgumentTypeError, match="is not a callback"):
        make_trainer(tmp_path, options={"callbacks": object()}).train()


def test_the_log_lines(tmp_path, capsys):
    settings = arguments(tmp_path, max_steps=4, logging_steps=2, report_to="tensorboard", save_strategy="no")
    Trainer(settings, task="text_generation", model=small_model(**OFF), train_dataset=counting_rows()).train()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("step ")]
    assert len(lines) == 2
    for part in ("step 4/4", "loss ", "lr ", "grad norm ", "tokens/s", "MFU ", " GB", "ETA 0:00"):
        assert part in lines[-1]
    (first, last) = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert (first["step"], last["step"], last["tokens"]) == (2, 4, 4 * 8 * 16)
    assert last["memory_bytes"] > 1e8 and 0 < last["flops_utilization"] < 1 and last["grad_norm"] > 0
    assert list((tmp_path / "out" / "logs").glob("events.out.tfevents.*"))


def test_tokenizer_is_saved_with_the_model(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained("gpt2_tiny")
    model = small_model(vocab_size=1024, pad_token_id=1)
    trainer = make_trainer(
        tmp_path, model=model, dataset=["Once upon a time"] * 40, max_steps=1, batch_size=2,
        options={"tokenizer": tokenizer},
    )  # fmt: skip
    trainer.train()
    assert AutoTokenizer.from_pretrained(tmp_path / "out").encode("Once") == tokenizer.encode("Once")
