"""``mf chat`` in a terminal, and along a file of lines: each launch of the command is for many checks."""

import json
import os
import subprocess
import sys
import time

import pytest

pexpect = pytest.importorskip("pexpect")
pyte = pytest.importorskip("pyte")

RUN = "import sys; from mf_core.cli import main; sys.exit(main())"
OPTIONS = ["chat", "--greedy", "--max-new-tokens"]
#: Makes each step of generation take a tenth of a second.
SLOW = """
import time
from mf_core.backends import get_backend
get_backend("cpu")
from mf_core.generation import engine
step = engine._Batch.step
engine._Batch.step = lambda batch: time.sleep(0.1) or step(batch)
"""


class Terminal:
    """The command in a pseudo-terminal, and what its screen shows."""

    def __init__(self, *args, before="", **environment):
        self.screen = pyte.HistoryScreen(200, 30, history=500)
        self._stream = pyte.ByteStream(self.screen)
        self.process = pexpect.spawn(
            sys.executable, ["-c", before + RUN, *OPTIONS, *args], dimensions=(30, 200), timeout=120,
            env={**os.environ, "TERM": "xterm-256color", **environment},
        )  # fmt: skip

    def type(self, keys):
        self.process.send(keys)

    @property
    def lines(self):
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def wait(self, words, seconds=40.0):
        """Read until the screen has the words."""
        end = time.monotonic() + seconds
        while words not in "\n".join(self.lines):
            assert time.monotonic() < end, f"no {words!r} on the screen:\n" + "\n".join(self.lines)
            try:
                self._feed(self.process.read_nonblocking(65536, timeout=0.5))
            except pexpect.TIMEOUT:
                continue

    def _feed(self, data):
        if b"\x1b[6n" in data:  # where is the cursor?
            self.process.send(f"\x1b[{self.screen.cursor.y + 1};{self.screen.cursor.x + 1}R")
        self._stream.feed(data)

    def end(self):
        """Press Ctrl-D; return the exit code."""
        self.type("\x04")
        self.process.expect(pexpect.EOF)
        self.process.close()
        return self.process.exitstatus


def test_a_talk_in_a_terminal(chat_model, tmp_path):
    terminal = Terminal("150", "--model", chat_model)
    terminal.type("Hello!\r")  # while the model is loaded
    terminal.wait("> Hello!")
    terminal.wait("/help lists commands; Ctrl-D leaves.")
    terminal.type("/tokens\r")  # while it answers
    terminal.wait("of 256 tokens")
    terminal.type("/he\t")
    terminal.wait("> /help")
    terminal.type("\r")
    terminal.wait("Ctrl-C stops an answer; Ctrl-D leaves.")
    terminal.type("/set max_new_tokens 4\r")
    terminal.wait("max_new_tokens 4")
    terminal.type("\x1b[A" * 4 + "\x1b[D?\r")  # Up to the first question, Left, and a character more
    terminal.wait("> Hello?!")
    terminal.type("\x1b[200~one\ntwo\x1b[201~")  # pasted
    terminal.wait("two")
    terminal.type("\x1b\rthree\r")
    terminal.wait("… three")
    file = tmp_path / "talk.json"
    terminal.type(f"/save {file}\r")
    terminal.wait("saved to")
    asked = [message["content"] for message in json.loads(file.read_text())["messages"] if message["role"] == "user"]
    assert asked == ["Hello!", "Hello?!", "one\ntwo\nthree"]
    terminal.type("\x03")
    terminal.wait("(Ctrl-D leaves)")
    terminal.type("/foo\r")
    terminal.wait("there is no command /foo")
    assert terminal.end() == 0


def test_ctrl_c_stops_an_answer_and_keeps_the_talk(chat_model, tmp_path):
    terminal = Terminal("200", "--model", chat_model, "--plain", before=SLOW)
    terminal.wait("/help lists")
    terminal.type("Hello!\r")
    terminal.wait("Hello!\n")
    time.sleep(2)
    terminal.type("\x03")
    terminal.wait("(stopped)", 10)
    terminal.type("/set max_new_tokens 2\r")
    terminal.wait("max_new_tokens 2")
    terminal.type("And?\r")
    file = tmp_path / "talk.json"
    terminal.type(f"/save {file}\r")
    terminal.wait("saved to")
    talk = json.loads(file.read_text())["messages"]
    assert [message["role"] for message in talk] == ["user", "assistant"] * 2
    assert terminal.end() == 0


def test_lines_of_a_file_are_answered_in_plain_text(chat_model):
    done = subprocess.run(
        [sys.executable, "-c", RUN, *OPTIONS, "5", "--model", chat_model, "--system", "Be kind."],
        input='Hello!\n/foo\n"""\none\ntwo\n"""\n\n/tokens\n', capture_output=True, text=True, timeout=300,
        env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    assert done.returncode == 2  # a line of the file was a mistake
    assert "there is no command /foo" in done.stderr
    assert "of 256 tokens" in done.stderr
    assert "\x1b" not in done.stdout
    assert len([line for line in done.stdout.splitlines() if line.strip()]) >= 2
    asked = subprocess.run(
        [sys.executable, "-c", RUN, "generate", "--chat", "-", "--system", "Be kind.", "--greedy", "--json",
         "--max-new-tokens", "5", "--model", chat_model],
        input="Hello!\n", capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    answer = json.loads(asked.stdout)
    assert answer["message"]["role"] == "assistant"
    assert done.stdout.startswith(answer["message"]["content"].rstrip("\n"))
    assert answer["finish_reason"] == "length"


def test_without_the_extra_the_input_is_plain_and_the_command_says_so(chat_model):
    hide = "import sys; sys.modules['rich'] = sys.modules['prompt_toolkit'] = None; "
    terminal = Terminal("3", "--model", chat_model, before=hide)
    terminal.wait("pip install 'mf-framework[chat]'")
    terminal.wait("/help lists")
    terminal.type("Hello!\r/exit\r")
    terminal.process.expect(pexpect.EOF)
