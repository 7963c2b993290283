"""``mf generate`` and ``mf chat``: text from a model."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from ..errors import ArgumentError, FileMissingError
from ..plugins.registry import registry
from ..utils.paths import user_path
from .table import print_json


def add_commands(commands: Any, *, complete: bool = True) -> None:
    """Add the commands to the parser; without the flags of generation, whose fields need pydantic, unless complete."""
    generate = commands.add_parser("generate", help="continue texts")
    generate.add_argument("prompt", nargs="*", help="a text to continue; - reads it from standard input")
    generate.add_argument("--lines", metavar="FILE", help="continue each line of a file; - reads standard input")
    generate.add_argument("--batch-size", type=int, default=8, help="most texts at a time (default: 8)")
    generate.add_argument("--json", action="store_true", help="one JSON object at the end, nothing before")
    _add_options(generate, complete)
    generate.set_defaults(run=run_generate)
    chat = commands.add_parser("chat", help="continue what you type, line after line")
    _add_options(chat, complete)
    chat.set_defaults(run=run_chat)


def _add_options(parser: argparse.ArgumentParser, complete: bool) -> None:
    parser.add_argument("--model", default="gpt2_tiny", help="preset, directory or owner/name (default: gpt2_tiny)")
    parser.add_argument("--revision", help="branch, tag or commit of a hub repository")
    parser.add_argument("--backend", help="device backend, such as cpu")
    parser.add_argument(
        "--weight-dtype", choices=("bfloat16", "int8"), help="hold the weights in fewer bits: text comes faster"
    )
    parser.add_argument("--tokenizer", help="preset, directory or owner/name (default: the model's)")
    parser.add_argument("--assistant-model", help="a smaller model that proposes tokens: the same text")
    if complete:
        from .generation_flags import add_generation_flags

        add_generation_flags(parser)


def _build(options: argparse.Namespace) -> Any:
    import logging

    logging.getLogger("mf_core").setLevel(logging.ERROR)  # what it would say stands in the summary
    from ..pipelines import pipeline
    from .generation_flags import given_options, in_flags

    passed = given_options(options)
    if options.assistant_model is not None:
        passed["assistant_model"] = options.assistant_model
    with in_flags():
        return pipeline(
            "text_generation", options.model, options.tokenizer, device_target=options.backend,
            revision=options.revision, weight_dtype=options.weight_dtype, **passed,
        )  # fmt: skip


def run_generate(options: argparse.Namespace) -> int:
    """Print prompts and their continuations; say on standard error how fast and by whom."""
    prompts = [sys.stdin.read() if prompt == "-" else prompt for prompt in options.prompt]
    if options.lines is not None:
        prompts += _lines(options.lines)
    if not prompts:
        raise ArgumentError("there is nothing to continue", value=prompts, hint='mf generate "Once upon a time"')
    return _generate_one(options, prompts[0]) if len(prompts) == 1 else _generate_all(options, prompts)


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


def _generate_one(options: argparse.Namespace, prompt: str) -> int:
    """Print a text as it comes."""
    from .generation_flags import in_flags

    pipe = _build(options)
    pieces = []
    with in_flags():
        if max(options.num_beams or 1, options.num_return_sequences or 1) > 1:
            return _generate_all(options, [prompt], pipe)
        stream = pipe(prompt, stream=True)
        for piece in stream:
            pieces.append(piece)
            if not options.json:
                print(piece, end="", flush=True)
    if options.json:
        print_json({
            "text": "".join(pieces), "tokens": stream.tokens, "seconds": round(stream.seconds, 3),
            "first_token_seconds": round(stream.first_token_seconds, 3), "finish_reason": stream.finish_reason,
            **_served_by(pipe.model, options.model),
        })  # fmt: skip
        return 0
    print(flush=True)
    print(_summary(stream, pipe.model, options.model), file=sys.stderr)
    return 0


def _generate_all(options: argparse.Namespace, prompts: list[str], pipe: Any = None) -> int:
    """Print texts when all are there, in the order of their prompts."""
    from .generation_flags import in_flags

    pipe = pipe or _build(options)
    start = time.perf_counter()
    with in_flags():
        results = pipe(prompts, batch_size=options.batch_size)
    seconds = time.perf_counter() - start
    texts = [text for result in results for text in result["text_generation_text"]]
    if options.json:
        print_json({"texts": texts, "seconds": round(seconds, 3), **_served_by(pipe.model, options.model)})
        return 0
    print("\n\n".join(texts), flush=True)
    print(f"\n{len(texts)} texts in {seconds:.1f} s, compiling included", file=sys.stderr)
    print(_by(pipe.model, options.model), file=sys.stderr)
    return 0


def run_chat(options: argparse.Namespace) -> int:
    """Read a line, continue the text with it, and so on. A text that the model has ended is begun anew."""
    pipe = _build(options)
    print("Type how a text begins, and an empty line to let it go on. Ctrl-D ends.", file=sys.stderr)
    text = ""
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            return 0
        text += line
        if not text:
            continue
        text = _fit(pipe, text)
        try:
            stream = pipe(text, stream=True, return_full_text=False, cache_prompt=True)
        except ArgumentError as error:  # what was typed cannot be continued; the loop goes on
            print(f"mf: {error}", file=sys.stderr)
            text = ""
            continue
        for piece in stream:
            print(piece, end="", flush=True)
            text += piece
        print(flush=True)
        if stream.finish_reason == "eos":
            print("(the end; the next line begins a new text)", file=sys.stderr)
            text = ""


def _fit(pipe: Any, text: str) -> str:
    """Return the text, or its last part when it leaves no room in the context to go on."""
    ids = pipe.tokenizer.encode(text, add_special_tokens=False)
    room = pipe.model.max_positions * 3 // 4
    if len(ids) <= room:
        return text
    print(f"(the context is full; the text goes on from its last {room} tokens)", file=sys.stderr)
    return str(pipe.tokenizer.decode(ids[-room:]))


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
