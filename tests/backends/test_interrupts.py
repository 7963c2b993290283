"""Ctrl-C while MindSpore runs: Python's handlers are called, and an interrupted pipeline keeps working."""

import signal
import threading

import pytest

from mf_core import pipeline
from mf_core.backends.interrupts import deferred


@pytest.fixture(scope="module")
def pipe():
    pipe = pipeline("text_generation", "gpt2_tiny", do_sample=False)
    pipe("Once upon a time", max_new_tokens=4)
    return pipe


@pytest.fixture
def interrupt():
    """Send SIGINT to this process, from another thread, after some seconds."""
    timers = []

    def send(seconds):
        timers.append(threading.Timer(seconds, signal.raise_signal, [signal.SIGINT]))
        timers[-1].start()

    yield send
    for timer in timers:
        timer.join()


@pytest.fixture
def counting_handler():
    calls = []
    before = signal.signal(signal.SIGINT, lambda number, frame: calls.append(number))
    yield calls
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("seconds", [0.02, 0.05, 0.07])
def test_ctrl_c_ends_a_generation_and_the_pipeline_continues(pipe, interrupt, stream, seconds):
    expected = pipe("Once upon a time", max_new_tokens=8)
    options = {"max_new_tokens": 120, "eos_token_id": None, "cache_prompt": True, "stream": stream}
    with pytest.raises(KeyboardInterrupt):
        interrupt(seconds)
        while True:
            list(pipe("Once upon a time", **options))
    assert pipe("Once upon a time", max_new_tokens=8, cache_prompt=True) == expected
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_users_is_kept(pipe, interrupt, counting_handler):
    interrupt(0.02)
    while not counting_handler:
        pipe("Once upon a time", max_new_tokens=32, eos_token_id=None)
    assert counting_handler == [signal.SIGINT]


def test_a_deferred_interrupt_is_handled_once_and_after_the_block(counting_handler):
    with deferred():
        with deferred():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        assert counting_handler == []
    assert counting_handler == [signal.SIGINT]


def test_a_deferred_interrupt_is_handled_after_an_error():
    with pytest.raises(KeyboardInterrupt) as caught, deferred():
        signal.raise_signal(signal.SIGINT)
        raise ValueError("of the block")
    assert isinstance(caught.value.__context__, ValueError)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred():
            signal.raise_signal(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
