"""Steps: accumulation, scaled losses, steps that are not finite, optimizers of the user's own, recomputation."""

import math
from typing import ClassVar

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mf_core.errors import ArgumentError, BackendError, TrainingError, UnsupportedError

from ...support.training import assert_equal_weights, counting_rows, make_trainer, small_model, weights_of


def padded_rows(count=32):
    """Rows of very different numbers of targets."""
    rows = counting_rows(count)
    for number, row in enumerate(rows):
        row[3 + number % 14 :] = 63
    return rows


@pytest.mark.parametrize("optim", ["adamw", "sgd"])
def test_accumulated_batches_equal_one_batch(tmp_path, optim):
    """4 x 2 rows make the step of 8 rows, though the batches have unlike numbers of targets."""
    results = []
    for size, count in ((8, 1), (2, 4)):
        # The same order of rows: each group of 4 batches of 2 is a batch of 8.
        trainer = make_trainer(
            tmp_path, model=small_model(num_layers=2), dataset=padded_rows(), batch_size=size,
            gradient_accumulation_steps=count, optim=optim, max_steps=8, learning_rate=1e-3,
        )  # fmt: skip
        result = trainer.train()
        results.append((list(result.losses.values()), result.tokens, weights_of(trainer.model)))
    (losses, tokens, first), (other_losses, other_tokens, second) = results
    assert tokens == other_tokens
    np.testing.assert_allclose(losses, other_losses, rtol=1e-5)
    for name in first:
        np.testing.assert_allclose(first[name], second[name], atol=2e-6, err_msg=name)


def test_a_pass_may_end_with_fewer_batches_than_are_accumulated(tmp_path):
    trainer = make_trainer(
        tmp_path, model=small_model(num_layers=1), dataset=counting_rows(28), batch_size=4,
        gradient_accumulation_steps=3, max_steps=-1, num_train_epochs=2,
    )  # fmt: skip
    result = trainer.train()
    assert result.steps == 2 * 3  # 7 batches a pass: 3, 3 and 1
    assert result.tokens == 2 * 28 * 16


@pytest.mark.parametrize("optim", ["adamw", "adam", "sgd", "adagrad", "adafactor"])
def test_every_optimizer_learns(tmp_path, optim):
    rate = {"sgd": 1.0, "adagrad": 0.05}.get(optim, 1e-2)
    model = small_model(num_layers=1)
    losses = make_trainer(tmp_path, model=model, optim=optim, learning_rate=rate, max_steps=30).train().losses
    assert losses[30] < 0.8 * losses[1]


def test_fp16_scales_the_loss_and_finds_the_scale(tmp_path):
    class Seen:
        types: ClassVar[set[str]] = set()

        def on_step_end(self, args, state, control, model=None, **more):
            self.types.add(model.compute_dtype)

    changes = {"dtype": "float16", "max_steps": 30, "initial_loss_scale": 2.0**40}
    trainer = make_trainer(tmp_path, options={"callbacks": [Seen()]}, **changes)
    result = trainer.train()
    assert Seen.types == {"float16"}
    assert trainer.model.compute_dtype == "float32"  # as it was given
    assert all(p.dtype == ms.float32 for p in trainer.model.get_parameters())
    skipped = trainer.state.skipped_steps
    assert 5 < skipped < 28  # the first scales overflow; each such step changes nothing and halves the scale
    assert result.losses[30] < result.losses[1]


def test_weights_of_16_bits_are_trained_in_32(tmp_path):
    model = small_model(param_init_type="float16")
    before = weights_of(model)
    result = make_trainer(tmp_path, model=model, learning_rate=1e-6, max_steps=20, lr_scheduler_type="constant").train()
    assert all(p.dtype == ms.float16 for p in model.get_parameters())
    # Each update is too small for 16 bits; twenty of them together are not, in fp32.
    changed = [np.abs(weights_of(model)[name].astype(np.float32) - array).max() for name, array in before.items()]
    assert max(changed) > 1e-5
    assert math.isfinite(result.loss)


def test_a_type_that_the_device_has_not_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MF_KERNELS", "0")
    with pytest.raises(BackendError, match="computes in bfloat16 by its kernels alone"):
        make_trainer(tmp_path, dtype="bfloat16")


class Breaks:
    """Makes a weight no number for the time of chosen steps."""

    def __init__(self, *steps):
        self.steps = steps
        self.kept = None

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        weight = dict(model.parameters_and_names())["transformer.wpe.weight"]
        value = np.array(weight.asnumpy())
        wanted = state.global_step + 1 in self.steps
        if wanted != bool(np.isnan(value[0, 0])):
            self.kept = value[0].copy() if wanted else self.kept
            value[0] = np.nan if wanted else self.kept
            ms.ops.assign(weight, ms.Tensor(value))


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_batch(tmp_path):
    trainer = make_trainer(tmp_path, max_steps=10, logging_steps=4, options={"callbacks": Breaks(3)})
    with pytest.raises(TrainingError, match=r"the loss of step 3 is nan \(pass 1, batch 3\)") as caught:
        trainer.train()
    assert "learning_rate" in caught.value.hint
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_steps_that_are_not_finite_are_left_out(tmp_path):
    breaks = Breaks(3, 4)
    trainer = make_trainer(tmp_path, max_steps=10, max_nan_steps=2, logging_steps=1, options={"callbacks": breaks})
    result = trainer.train()
    assert trainer.state.skipped_steps == 2
    assert math.isnan(result.losses[3]) and math.isnan(result.losses[4])
    assert result.losses[10] < result.losses[1]
    with pytest.raises(TrainingError, match=r"step 5 is nan .*3 steps in a row"):
        make_trainer(tmp_path, max_steps=10, max_nan_steps=2, options={"callbacks": Breaks(3, 4, 5)}).train()


def test_an_optimizer_of_the_users_own(tmp_path):
    model = small_model()
    optimizer = nn.Momentum(model.trainable_params(), learning_rate=0.3, momentum=0.9)
    result = make_trainer(tmp_path, model=model, max_steps=20, options={"optimizers": optimizer}).train()
    assert result.losses[20] < 0.8 * result.losses[1]


def test_a_cell_of_the_users_own_takes_the_steps(tmp_path):
    model = small_model()
    optimizer = nn.Adam(model.trainable_params(), learning_rate=1e-2)
    options = {"optimizers": optimizer, "wrapper": nn.TrainOneStepCell}
    result = make_trainer(tmp_path, model=model, max_steps=20, options=options).train()
    assert result.losses[20] < 0.8 * result.losses[1]
    with pytest.raises(ArgumentError, match="wrapper needs an optimizer"):
        make_trainer(tmp_path, options={"wrapper": nn.TrainOneStepCell}).train()


def test_recomputation_changes_no_number_and_no_weight(tmp_path):
    dropout = {"hidden_dropout_rate": 0.1, "attention_dropout_rate": 0.1}
    plain = make_trainer(tmp_path, model=small_model(**dropout))
    plain.train()
    for setting in ("recompute", "select_recompute"):
        model = small_model(**dropout)
        before = weights_of(model)
        trainer = make_trainer(tmp_path, model=model)
        trainer.set_recompute_config(**{setting: True})
        assert trainer.model is model
        assert_equal_weights(before, weights_of(model))
        trainer.train()
        for name, array in weights_of(plain.model).items():
            np.testing.assert_allclose(weights_of(model)[name], array, atol=1e-6, err_msg=f"{setting}: {name}")
        with pytest.raises(UnsupportedError, match="recompute activations already"):
            trainer.set_recompute_config(**{setting: False})


def test_settings_of_parallelism_are_checked_at_once(tmp_path):
    model = small_model()
    before = weights_of(model)
    trainer = make_trainer(tmp_path, model=model)
    trainer.set_parallel_config(micro_batch_num=1)
    message = "data_parallel=4 x model_parallel=2 x pipeline_stage=2 takes 16 devices; there is 1"
    with pytest.raises(ArgumentError, match=message):
        trainer.set_parallel_config(
            data_parallel=4, model_parallel=2, pipeline_stage=2, micro_batch_num=2, optimizer_shard=True
        )
    with pytest.raises(ArgumentError, match="no field 'data_paralel'"):
        trainer.set_parallel_config(data_paralel=2)
    with pytest.raises(ArgumentError, match="no field 'recomput'"):
        trainer.set_recompute_config(recomput=True)
    assert trainer.model is model
    assert_equal_weights(before, weights_of(model))
    for setting in ({"use_parallel": True}, {"only_save_strategy": True}):
        with pytest.raises(UnsupportedError):
            make_trainer(tmp_path, model=model, **setting).train()


@pytest.mark.parametrize(
    ("settings", "devices", "message"),
    [
        ({"model_parallel": 3}, 3, "4 attention heads of GPT2LMHeadModel cannot be split by model_parallel=3"),
        ({"pipeline_stage": 4, "micro_batch_num": 4}, 4, "2 layers of GPT2LMHeadModel cannot be split"),
        ({"pipeline_stage": 2}, 2, "micro_batch_num=1 is less than pipeline_stage=2"),
        ({"data_parallel": 2, "expert_parallel": 4}, 2, "expert_parallel=4 is more than data_parallel=2"),
        ({"data_parallel": 3, "expert_parallel": 2}, 3, "3 copies .* cannot be split by expert_parallel=2"),
        ({"model_parallel": 4, "vocab_emb_dp": False}, 4, "66 vocabulary entries of .* cannot be split"),
    ],
)
def test_what_cannot_be_divided_is_refused(settings, devices, message):
    from mf_core.parallel import ParallelConfig

    with pytest.raises(ArgumentError, match=message):
        ParallelConfig(**settings).check(small_model(vocab_size=66, num_layers=2), devices)
