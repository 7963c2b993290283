"""``mf generate``: texts from a model."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from ..errors import ArgumentError, FileMissingError
from ..plugins.registry import registry
from ..utils.paths import user_path
from .model_options import add_model_options, build_pipeline
from .table import print_json


def add_commands(commands: Any, *, complete: bool = True) -> None:
    """Add the command to the parser; without the flags of generation, whose fields need pydantic, unless complete."""
    generate = commands.add_parser("generate", help="continue texts, or answer a question")
    generate.add_argument("prompt", nargs="*", help="a text to continue; - reads it from standard input")
    generate.add_argument("--lines", metavar="FILE", help="continue each line of a file; - reads standard input")
    generate.add_argument("--chat", metavar="TEXT", help="a message to answer; - reads it from standard input")
    generate.add_argument("--system", metavar="TEXT", help="with --chat: the system message")
    generate.add_argument("--json-schema", metavar="FILE", help="a JSON schema that the text or answer must match")
    generate.add_argument("--batch-size", type=int, default=8, help="most texts at a time (default: 8)")
    generate.add_argument("--json", action="store_true", help="one JSON object at the end, nothing before")
    add_model_options(generate, complete)
    generate.set_defaults(run=run_generate)


def run_generate(options: argparse.Namespace) -> int:
    """Print prompts and their continuations, or an answer; how fast and by which model, on standard error."""
    prompts = [sys.stdin.read() if prompt == "-" else prompt for prompt in options.prompt]
    if options.lines is not None:
        prompts += _lines(options.lines)
    if options.chat is not None:
        if prompts:
            raise ArgumentError("--chat answers a message, and there is a text to continue, too", value=prompts[0],
                                hint="give one of them")  # fmt: skip
        return _generate_one(options, _messages(options))
    if options.system is not None:
        raise ArgumentError("--system is for --chat", value=options.system, hint="mf generate --chat 'Hello!'")
    if not prompts:
        raise ArgumentError("there is nothing to continue", value=prompts, hint='mf generate "Once upon a time"')
    return _generate_one(options, prompts[0]) if len(prompts) == 1 else _generate_all(options, prompts)


def _messages(options: argparse.Namespace) -> list[dict[str, str]]:
    question = sys.stdin.read().strip() if options.chat == "-" else options.chat
    system = [] if options.system is None else [{"role": "system", "content": options.system}]
    return [*system, {"role": "user", "content": question}]


def _build(options: argparse.Namespace) -> Any:
    from .generation_flags import given_options

    passed = given_options(options)
    if options.json_schema is not None:
        passed["json_schema"] = _schema(options.json_schema)
    return build_pipeline(options, passed)


def _schema(name: str) -> Any:
    from ..utils.files import read_json

    path = user_path(name)
    if not path.is_file():
        raise FileMissingError(f"there is no file {name}", value=name)
    return read_json(path)


def _lines(name: str) -> list[str]:
    """Return the lines of a file that are not empty."""
    if name == "-":
        text = sys.stdin.read()
    else:
        path = user_path(name)
        if not path.is_file():
            raise FileMissingError(f"there is no file {name}", value=name)
        text = path.read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line]


def _generate_one(options: argparse.Namespace, prompt: str | list[dict[str, str]]) -> int:
    """Print a text, or an answer, as it comes."""
    from .generation_flags import in_flags

    pipe = _build(options)
    pieces = []
    with in_flags():
        if max(options.num_beams or 1, options.num_return_sequences or 1) > 1:
            return _generate_all(options, [prompt], pipe)
        stream = pipe(prompt, stream=True)
        for new in stream:
            piece = new if isinstance(new, str) else new.get("content", "")
            pieces.append(piece)
            if not options.json:
                print(piece, end="", flush=True)
    if options.json:
        result = {"text": "".join(pieces)} if isinstance(prompt, str) else {"message": stream.message}
        print_json({
            **result, "tokens": stream.tokens, "seconds": round(stream.seconds, 3),
            "first_token_seconds": round(stream.first_token_seconds, 3), "finish_reason": stream.finish_reason,
            **_served_by(pipe.model, options.model),
        })  # fmt: skip
        return 0
    print(flush=True)
    print(_summary(stream, pipe.model, options.model), file=sys.stderr)
    return 0


def _generate_all(options: argparse.Namespace, prompts: list[Any], pipe: Any = None) -> int:
    """Print texts or answers when all are there, in the order of their prompts."""
    from .generation_flags import in_flags

    pipe = pipe or _build(options)
    start = time.perf_counter()
    with in_flags():
        results = pipe(prompts, batch_size=options.batch_size)
    seconds = time.perf_counter() - start
    found = [text for result in results for text in result["text_generation_text"]]
    texts = [text if isinstance(text, str) else text[-1]["content"] for text in found]
    if options.json:
        said = {"texts": texts} if isinstance(prompts[0], str) else {"messages": [talk[-1] for talk in found]}
        print_json({**said, "seconds": round(seconds, 3), **_served_by(pipe.model, options.model)})
        return 0
    print("\n\n".join(texts), flush=True)
    print(f"\n{len(texts)} texts in {seconds:.1f} s, compiling included", file=sys.stderr)
    print(_by(pipe.model, options.model), file=sys.stderr)
    return 0


def _served_by(model: Any, name: str) -> dict[str, str]:
    from ..backends.base import get_backend

    backend = get_backend()
    entry = registry.find("model:causal_lm", model.config.model_type)
    return {
        "model": name,
        "model_plugin": _with_version(entry.owner),
        "backend": f"{backend.name}, {model.compute_dtype}",
        "backend_plugin": _with_version(registry.find("backend", backend.name).owner),
    }


def _with_version(owner: str) -> str:
    versions = {record.distribution: record.version for record in registry.records}
    return f"{owner} {versions[owner]}" if owner in versions else owner


def _summary(stream: Any, model: Any, name: str) -> str:
    rest = stream.seconds - stream.first_token_seconds
    speed = f"{(stream.tokens - 1) / rest:.0f} tokens/s after it" if stream.tokens > 1 and rest > 0 else "one token"
    return (
        f"\n{stream.tokens} tokens: the first in {stream.first_token_seconds:.1f} s, compiling included; {speed}\n"
        f"{_by(model, name)}"
    )


def _by(model: Any, name: str) -> str:
    from ..backends.base import get_backend

    served = _served_by(model, name)
    return (
        f"model: {served['model']}, by {served['model_plugin']}; "
        f"device: {get_backend().describe()}, by {served['backend_plugin']}"
    )
