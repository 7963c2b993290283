"""Optimizers and schedules that are registered: every part of the library knows them."""

import numpy as np
import pytest
from mindspore import ops

from mf_core import TrainingArguments
from mf_core.errors import AlreadyRegisteredError, ArgumentError, ArgumentTypeError
from mf_core.optim import (
    Optimizer,
    optimizer_names,
    optimizer_spec,
    register_optimizer,
    register_schedule,
    schedule_names,
    schedule_spec,
)
from mf_core.optim.schedules import schedule

from ..support.training import make_trainer, small_model, weights_of


class SignDescent(Optimizer):
    def construct(self, gradients, factor, rate):
        for i in range(self.count):
            ops.assign(self.weights[i], self.weights[i] - rate * ops.sign(gradients[i]))
        return self.next_update()


@pytest.fixture(scope="module", autouse=True)
def registered():
    register_optimizer("sign_descent", SignDescent, states_per_weight=0, tables_per_weight=2, aliases=("signs",))
    register_schedule("halves", lambda args, progress: 0.5**progress)


def test_a_registered_optimizer_and_schedule_train(tmp_path):
    model = small_model(num_layers=1)
    before = weights_of(model)
    trainer = make_trainer(
        tmp_path, model=model, optim="signs", lr_scheduler_type="halves", learning_rate=1e-3, max_steps=1
    )
    trainer.train()
    assert trainer.args.optim == "sign_descent"
    for name, array in weights_of(model).items():
        moved = np.abs(array - before[name])
        assert ((moved < 1e-9) | (abs(moved - 1e-3) < 1e-6)).all()


def test_all_that_lists_them_follows_the_table(capsys):
    from mf_core.cli import main

    assert {"adamw", "adafactor", "sign_descent"} <= set(optimizer_names())
    assert {"cosine", "halves"} <= set(schedule_names())
    for field, names in (("optim", optimizer_names()), ("lr_scheduler_type", schedule_names())):
        with pytest.raises(ArgumentError) as caught:
            TrainingArguments(**{field: "none such"})
        assert all(name in str(caught.value) for name in names)
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    assert "sign_descent" in capsys.readouterr().out
    rate = schedule(TrainingArguments(lr_scheduler_type="halves", learning_rate=1.0, warmup_steps=1), 3)
    assert [rate(step) for step in range(4)] == [0.0, 1.0, 0.5**0.5, 0.5]


def test_memory_estimates_follow_the_table():
    from mf_core.trainer.memory import estimate_memory

    model = small_model(num_layers=1)
    sizes = {
        name: estimate_memory(model, TrainingArguments(optim=name), 2, 16)["optimizer"]
        for name in ("adamw", "adagrad", "sgd", "sign_descent")
    }
    assert sizes["adamw"] == 2 * sizes["adagrad"] > 0
    assert sizes["sgd"] == sizes["sign_descent"] == 0


def test_what_cannot_be_registered():
    with pytest.raises(AlreadyRegisteredError, match="'adamw' is registered"):
        register_optimizer("adamw", SignDescent, states_per_weight=0)
    with pytest.raises(AlreadyRegisteredError, match="'AdamWeightDecay' is registered"):
        register_optimizer("other", SignDescent, states_per_weight=0, aliases=("AdamWeightDecay",))
    with pytest.raises(AlreadyRegisteredError, match="'cosine' is registered"):
        register_schedule("cosine", lambda args, progress: 1.0)
    with pytest.raises(ArgumentTypeError):
        register_optimizer("other", "SignDescent", states_per_weight=0)
    with pytest.raises(ArgumentError, match="states_per_weight=-1"):
        register_optimizer("other", SignDescent, states_per_weight=-1)
    with pytest.raises(ArgumentTypeError):
        register_schedule("other", 5)
    with pytest.raises(ArgumentError, match="no optimizer 'adamx'") as caught:
        optimizer_spec("adamx")
    assert "adamw" in caught.value.hint
    with pytest.raises(ArgumentError, match="no schedule 'cosin'"):
        schedule_spec("cosin")
