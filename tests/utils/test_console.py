"""Standard error that is missing, closed, no terminal, or of an encoding that lacks the characters."""

import io
import sys

import pytest

from mf_core.utils.console import in_notebook, is_terminal, say


class WriteOnly:
    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_a_stream_that_only_writes(monkeypatch):
    stream = WriteOnly()
    monkeypatch.setattr(sys, "stderr", stream)
    say("你好")
    assert stream.text == "你好\n"
    assert not is_terminal()


def test_an_encoding_without_the_characters(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stderr", stream)
    say("loss 你")
    assert stream.buffer.getvalue() == b"loss \\u4f60\n"


@pytest.mark.parametrize("closed", [False, True])
def test_no_stream(monkeypatch, capsys, closed):
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream if closed else None)
    say("nothing reads it")
    assert not is_terminal()
    assert not in_notebook()
    assert capsys.readouterr().out == ""
