"""Conversations of ``mf chat`` without a terminal: turns, commands, and the end of the context."""

import json

import pytest

from mf_core import pipeline
from mf_core.cli.chat.commands import COMMANDS, completions
from mf_core.cli.chat.display import MarkdownDisplay, PlainDisplay, complete_blocks, safe
from mf_core.cli.chat.session import Session
from mf_core.errors import ArgumentError, DataError, FileMissingError, InputTooLongError, UnsupportedError


class Recorder:
    """A display that keeps what it is given."""

    def __init__(self):
        self.notes, self.answers = [], []

    def begin(self):
        self.answers.append("")

    def add(self, key, new):
        self.answers[-1] += new

    def end(self):
        pass

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(scope="module")
def pipes(chat_model):
    return {name: pipeline("text_generation", model) for name, model in (("talker", chat_model), ("gpt2_tiny",) * 2)}


def session(pipes, model="talker", **options):
    settings = {"max_new_tokens": 5, "do_sample": False, **options.pop("settings", {})}
    return Session(model, pipes.__getitem__, settings, Recorder(), **options)


@pytest.fixture
def talk(pipes):
    return session(pipes, system="Be kind.")


def test_answers_are_kept_and_the_next_question_follows_them(talk):
    talk.take("Hello!")
    talk.take("And now?")
    messages = talk.talk.messages()
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user", "assistant"]
    assert [message["content"] for message in messages[2::2]] == talk.display.answers
    assert all(talk.display.answers)
    pipe = talk.answering.pipe
    (whole,) = pipe(messages[:-1], max_new_tokens=5, do_sample=False)[0]["text_generation_text"]
    assert whole == messages
    assert "cut after 5 tokens" in talk.display.notes[-1]
    assert f"{talk.answering.count(talk.talk)} of 256 tokens" in notes(talk, "/tokens")


def notes(talk, line):
    talk.display.notes.clear()
    talk.take(line)
    return "\n".join(talk.display.notes)


def test_undo_regenerate_and_reset(talk):
    talk.take("Hello!")
    talk.take("And now?")
    first = talk.talk.messages()
    talk.take("/regenerate")
    assert talk.talk.messages() == first
    assert notes(talk, "/undo") == "taken back: And now?"
    assert talk.talk.messages() == first[:3]
    talk.take("/reset")
    assert talk.talk.messages() == first[:1]
    assert "nothing" in notes(talk, "/undo")
    with pytest.raises(ArgumentError, match="no question yet"):
        talk.take("/regenerate")


def test_system_and_settings(talk):
    assert notes(talk, "/system") == "system: Be kind."
    assert notes(talk, "/system Be brief.") == "system: Be brief."
    assert notes(talk, "/system -") == "system: nothing"
    assert notes(talk, "/set temperature 0.7") == "temperature 0.7"
    assert notes(talk, "/set") == "max_new_tokens 5\ntemperature 0.7"
    talk.take("/set temperature none")
    talk.take("/set do_sample false")
    assert talk.answering.settings == {"max_new_tokens": 5, "do_sample": False}
    talk.take("/set mood glad")
    assert talk.answering.variables == {"mood": "glad"}
    for line, words in [
        ("/set temperature -1", "temperature=-1 must be"), ("/set temperatur 1", "no argument 'temperatur'"),
        ("/set num_beams 2", "answers are streamed"), ("/set seed", None), ("/set nothing", "has no value"),
        ("/hlp", "no command /hlp"), ("/save", "name is missing"),
    ]:  # fmt: skip
        if words is None:
            talk.take(line)
            continue
        with pytest.raises((ArgumentError, TypeError), match=words):
            talk.take(line)
    assert talk.answering.settings == {"max_new_tokens": 5, "do_sample": False}
    assert all(f"/{name}" in notes(talk, "/help") for name in COMMANDS)


def test_conversations_are_saved_and_loaded(talk, tmp_path):
    talk.take("Hello!")
    before = talk.talk.messages()
    file = tmp_path / "talk.json"
    talk.take(f"/save {file}")
    assert json.loads(file.read_text()) == {"model": "talker", "messages": before}
    talk.take("/reset")
    talk.take("/system -")
    talk.take(f"/load {file}")
    assert talk.talk.messages() == before
    talk.take(f"/save {file}")
    other = tmp_path / "other.txt"
    other.write_text("mine")
    with pytest.raises(ArgumentError, match="is no conversation"):
        talk.take(f"/save {other}")
    with pytest.raises(FileMissingError):
        talk.take("/load nowhere.json")
    for text in ("mine", "{}", '{"messages": [{"role": "robot", "content": ""}]}',
                 '{"messages": [{"role": "assistant", "content": ""}]}'):  # fmt: skip
        other.write_text(text)
        with pytest.raises(DataError, match="no saved conversation"):
            talk.take(f"/load {other}")
    assert talk.talk.messages() == before


def test_whole_old_turns_are_left_out_where_the_context_ends(talk):
    talk.answering.settings["max_new_tokens"] = 60
    long = "the owl and the fox lived in the wood " * 4
    for _ in range(5):
        talk.take(long)
    assert talk.talk.first > 0
    assert any("oldest" in note and "left out" in note for note in talk.display.notes)
    given = talk.talk.messages()
    assert [message["role"] for message in given[:2]] == ["system", "user"]
    assert talk.answering.count(talk.talk) <= talk.answering.context
    assert len(talk.talk.messages(0)) == 11
    assert "turns are left out" in notes(talk, "/tokens")
    with pytest.raises(InputTooLongError, match="the context has 256"):
        talk.take(long * 9)
    assert len(talk.talk.turns) == 5


def test_another_model_continues_and_one_without_template_begins_a_text(talk):
    talk.take("Hello!")
    assert "left out" not in notes(talk, "/model talker")
    assert talk.answering.count(talk.talk) > 10
    said = notes(talk, "/model gpt2_tiny")
    assert "gpt2_tiny: 1 million weights" in said
    assert "what was said before is left out" in said
    talk.take("Once upon a time")
    assert talk.talk.text().startswith("Once upon a time")
    with pytest.raises(UnsupportedError, match="no system message"):
        talk.take("/system Be brief.")


def test_a_text_continues_with_an_empty_line(pipes):
    plain = session(pipes, "gpt2_tiny")
    plain.take("")
    assert plain.display.answers == []
    plain.take("Once upon a time")
    plain.take("")
    (whole,) = plain.answering.pipe("Once upon a time", max_new_tokens=10, do_sample=False)[0]["text_generation_text"]
    assert plain.talk.text() == whole
    with pytest.raises(ArgumentError, match="no chat template"):
        session(pipes, "gpt2_tiny", system="Be kind.")


def test_completion(talk, tmp_path):
    assert list(completions(talk, "/re")) == ["/reset", "/regenerate"]
    assert "temperature" in list(completions(talk, "/set temp"))
    (tmp_path / "talk.json").write_text("")
    assert list(completions(talk, f"/load {tmp_path}/ta")) == [f"{tmp_path}/talk.json"]
    assert "gpt2_tiny" in list(completions(talk, "/model gpt2_t"))


def test_markdown_is_split_after_complete_blocks(capsys):
    assert complete_blocks("one\n\ntwo") == ("one\n\n", "two")
    assert complete_blocks("```\na\n\nb") == ("", "```\na\n\nb")
    assert complete_blocks("```\na\n\nb\n```\n\nc") == ("```\na\n\nb\n```\n\n", "c")
    assert safe("a\x1b[2Jb\n") == "a\\x1b[2Jb\n"
    for display in (PlainDisplay(False), MarkdownDisplay()):
        display.begin()
        for key, new in (("reasoning_content", "hm"), ("content", "# A\n\nb"), ("content", "c\x1b[2J")):
            display.add(key, new)
        display.end()
        out = capsys.readouterr().out
        assert "bc\\x1b[2J" in out
        assert ("hm" in out) == isinstance(display, MarkdownDisplay)
