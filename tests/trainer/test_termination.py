"""Ctrl-C and SIGTERM in training: the run saves, ends and resumes from there; the user's handlers are restored."""

import signal

import pytest

from mf_core import Trainer
from mf_core.trainer.termination import StopSignals

from ..support.training import arguments, counting_rows, make_trainer, small_model


class Signals:
    """A callback that sends a signal to the process when a step has ended."""

    def __init__(self, number, step):
        self.number, self.step = number, step

    def on_step_end(self, args, state, control, **_):
        if state.global_step == self.step:
            signal.raise_signal(self.number)


def test_ctrl_c_saves_and_raises_keyboard_interrupt(tmp_path, capsys):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    trainer = make_trainer(tmp_path, small_model(num_layers=1), options={"callbacks": Signals(signal.SIGINT, 2)})
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert (tmp_path / "out" / "checkpoint-2").is_dir()
    assert "SIGINT: stopped after step 2/6" in capsys.readouterr().err
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_handler_of_the_users_decides_and_may_end_an_evaluation_at_once(tmp_path):
    class Enough(Exception):
        pass

    class Rows:
        def __iter__(self):
            for number, row in enumerate(counting_rows(16)):
                if number == 8:
                    signal.raise_signal(signal.SIGINT)
                assert number < 12, "the evaluation went on"
                yield row

    calls = []

    def handler(*_):
        calls.append(1)
        if len(calls) == 2:
            raise Enough

    trainer = Trainer(
        arguments(tmp_path, eval_strategy="steps", eval_steps=3, per_device_eval_batch_size=1),
        task="text_generation", model=small_model(num_layers=1), train_dataset=counting_rows(), eval_dataset=Rows(),
        callbacks=Signals(signal.SIGINT, 1),
    )  # fmt: skip
    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(Enough):
            trainer.train()
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(calls) == 2
    assert (tmp_path / "out" / "checkpoint-3").is_dir()


def test_a_second_ctrl_c_does_not_wait():
    with StopSignals() as signals:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert not signals.terminated


def test_handlers_that_are_set_during_the_run_stay():
    def handler(*_):
        pass

    before = signal.getsignal(signal.SIGINT)
    try:
        with StopSignals():
            signal.signal(signal.SIGINT, handler)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
