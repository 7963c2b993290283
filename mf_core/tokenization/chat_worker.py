"""The process that renders chat templates, which come with checkpoints and are not trusted.

It is run as a script with the standard library and Jinja2 alone, reads requests from standard input and writes answers
to standard output, each with its length before it. A request has a limit of CPU time and of memory; one that exceeds
the time ends the process (by ``SIGPROF``), so that what loops in C is ended too.
"""

from __future__ import annotations

import json
import marshal
import os
import struct
import sys
from typing import Any

_LENGTH = struct.Struct("!Q")


def main() -> None:
    """Answer requests until standard input ends."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints is no answer
    _drop_privileges()
    environment = _environment()
    templates: dict[str, Any] = {}
    while header := requests.read(_LENGTH.size):
        payload = requests.read(_LENGTH.unpack(header)[0])
        request = marshal.loads(payload)
        _limit(request["seconds"] + 1e-6 * len(payload), request["memory"] + 8 * len(payload))
        try:
            answer = _render(environment, templates, request)
        except MemoryError:
            answer = {"error": "memory"}
        _limit(0, None)
        encoded = json.dumps(answer).encode()
        answers.write(_LENGTH.pack(len(encoded)) + encoded)
        answers.flush()
        if answer.get("error") == "memory":
            return


def _render(environment: Any, templates: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    import jinja2

    text = request["template"]
    try:
        if text not in templates:
            if len(templates) >= 16:
                templates.clear()
            templates[text] = environment.from_string(text)
        spans: list[tuple[int, int]] = []
        blocks: list[str] = []
        environment.generation, environment.blocks = spans, blocks
        for block in templates[text].generate(request["variables"]):
            blocks.append(block)
        return {"text": "".join(blocks), "spans": spans}
    except jinja2.TemplateSyntaxError as error:
        return {"error": "syntax", "message": error.message, "line": error.lineno}
    except MemoryError:
        raise
    except Exception as error:
        kind = "raised" if getattr(error, "raised_by_template", False) else type(error).__name__
        return {"error": kind, "message": str(error)[:2000], "line": _line(error)}


def _line(error: BaseException) -> int | None:
    """Return the line of the template where an error came from; Jinja2 has traces name it."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _environment() -> Any:
    from datetime import datetime

    import jinja2
    from jinja2 import nodes
    from jinja2.exceptions import SecurityError
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class Generation(Extension):
        """``{% generation %}`` … ``{% endgeneration %}``: what the assistant said."""

        tags = {"generation"}  # noqa: RUF012  Jinja2's own declaration

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

        def _mark(self, caller: Any) -> str:
            text: str = caller()
            shared: Any = self.environment
            start = sum(len(block) for block in shared.blocks)
            shared.generation.append((start, start + len(text)))
            return text

    class TemplateNamespace(Namespace):
        """A namespace without private names."""

        def __init__(*args: Any, **values: Any) -> None:
            self = args[0]
            Namespace.__init__(self)
            for name, value in dict(*args[1:], **values).items():
                self[name] = value

        def __setitem__(self, name: str, value: Any) -> None:
            if str(name).startswith("_"):
                raise SecurityError(f"the name {name!r} is private")
            super().__setitem__(name, value)

    def raise_exception(message: Any) -> None:
        error: Any = jinja2.TemplateError(str(message))
        error.raised_by_template = True
        raise error

    def tojson(
        value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
    ) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    class TemplateDict:
        """The constructor of dictionaries, and nothing else of the class."""

        def __call__(self, *args: Any, **values: Any) -> dict[Any, Any]:
            return dict(*args, **values)

        def fromkeys(self, *args: Any) -> dict[Any, Any]:
            return dict.fromkeys(*args)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = tojson
    environment.globals.update(
        raise_exception=raise_exception, strftime_now=lambda form: datetime.now().strftime(form),
        namespace=TemplateNamespace, dict=TemplateDict(),
    )  # fmt: skip
    return environment


def _drop_privileges() -> None:
    """No files, no processes and no dumps, whatever a template may find; systems differ in what they know."""
    try:
        import resource

        for name in ("RLIMIT_FSIZE", "RLIMIT_CORE", "RLIMIT_NPROC"):
            if hasattr(resource, name):
                resource.setrlimit(getattr(resource, name), (0, 0))
    except (ImportError, OSError, ValueError):
        pass


def _limit(seconds: float, memory: int | None) -> None:
    """Limit the CPU time from now on, and the memory beyond what is there; 0 and None end the limits."""
    try:
        import resource
        import signal

        signal.setitimer(signal.ITIMER_PROF, seconds)
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
        now = pages * os.sysconf("SC_PAGE_SIZE")
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (hard if memory is None else now + memory, hard))
    except (ImportError, AttributeError, OSError, ValueError):
        pass  # the parent ends what takes too long


if __name__ == "__main__":
    main()
