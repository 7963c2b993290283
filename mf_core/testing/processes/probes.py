"""What fresh processes do for the checks: each function is called in a new interpreter and returns plain data."""

from __future__ import annotations

import importlib
import sys
import threading
import time
from contextlib import suppress
from typing import Any

#: Packages that an entry module may bring: the core's lowest layer and what that needs.
_LIGHT = {"mf_core", "pluggy", "importlib_metadata", "zipp"}


def entry_module(module: str) -> dict[str, Any]:
    """Import a plugin's entry module and call its hooks.

    Returns:
        ``foreign``: packages that came along and are neither the core's, the standard library's nor the plugin's own;
        ``changes``: what is not as it was; ``files``: what was written; ``error``: what was raised, if anything.
    """
    _prepare()
    from ...errors import describe
    from ...utils.process_state import changes, look, watching_files

    packages, before, error = _packages(), look(), ""
    with watching_files() as files:
        try:
            _call_hooks(importlib.import_module(module))
        except BaseException as raised:
            error = describe(raised)
    foreign = _packages() - packages - _LIGHT - set(sys.stdlib_module_names) - {module.partition(".")[0]}
    return {"foreign": sorted(foreign), "changes": changes(before), "files": files, "error": error}


def entry_time(module: str) -> float:
    """Return the milliseconds that importing a plugin's entry module and calling its hooks take."""
    _prepare()
    start = time.perf_counter()
    _call_hooks(importlib.import_module(module))
    return (time.perf_counter() - start) * 1e3


def targets(names: list[list[str]], with_mindspore: bool) -> dict[str, Any]:
    """Import targets, each ``[target, owner]``, after what the core itself imports for them.

    Returns:
        ``changes`` and ``files`` as :func:`entry_module` has them.
    """
    from ...errors import MFError
    from ...plugins.registry import load_target, registry
    from ...utils import settings  # noqa: F401

    registry.names("config")
    importlib.import_module("tokenizers")
    if with_mindspore:
        from ...backends.base import import_mindspore

        import_mindspore()
        for module in ("models", "conversion", "parallel", "generation", "trainer", "tasks.text_generation"):
            importlib.import_module(f"mf_core.{module}")
    from ...utils.process_state import changes, look, watching_files

    before = look()
    with watching_files() as files:
        for target, owner in names:
            with suppress(MFError):  # that targets can be imported is another check's
                load_target(target, owner)
    return {"changes": changes(before), "files": files}


def first_look_up(distribution: str, names: list[list[str]], light: list[str]) -> list[str]:
    """Look names up from eight threads at once, as the first thing that this process does.

    Args:
        distribution: Whose names.
        names: Each ``[kind, name]``.
        light: Targets that are imported too.

    Returns:
        What went wrong, in words.
    """
    from ...errors import describe
    from ...plugins.registry import load_target, registry

    barrier, problems, answers = threading.Barrier(8), [], []

    def look() -> None:
        try:
            barrier.wait()
            found = [registry.find(kind, f"{distribution}:{name}").target for kind, name in names]
            answers.append([*found, *(load_target(target, distribution) for target in light)])
        except BaseException as error:
            problems.append(describe(error))

    threads = [threading.Thread(target=look, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        if thread.is_alive():
            problems.append("a thread waits for good")
    if any(answer != answers[0] for answer in answers):
        problems.append("threads saw different things")
    return sorted(set(problems))


def tokenize(source: str, texts: list[str]) -> dict[str, Any]:
    """Return the ids of texts, without and with special tokens, and whether MindSpore was imported for them."""
    from ...auto import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source)
    return {
        "plain": [list(map(int, tokenizer.encode(text, add_special_tokens=False))) for text in texts],
        "called": [list(map(int, tokenizer(text)["input_ids"])) for text in texts],
        "mindspore": "mindspore" in sys.modules,
    }


def process(source: str, inputs: list[Any], options: dict[str, Any]) -> Any:
    """Return what a saved processor makes of inputs, as lists."""
    from ...auto import AutoProcessor
    from ..contracts.compare import plain

    return plain(AutoProcessor.from_pretrained(source, **options)(inputs))


def model_outputs(folder: str, distribution: str, head: str, given: list[Any]) -> dict[str, Any]:
    """Return the outputs of a saved model, and the SHA-256 of each of its weights.

    Args:
        folder: Where it is saved.
        distribution: Whose model.
        head: By which it is loaded.
        given: The arguments of a call: type and values of each, or None.
    """
    from dataclasses import replace

    import numpy as np

    from ...auto import model_of
    from ...checkpoint.locate import locate
    from ..model_checks.random_weights import digests, flat

    model = model_of(replace(locate(folder), owner=distribution), f"model:{head}")
    from mindspore import Tensor

    arguments = [None if one is None else Tensor(np.array(one[1], one[0].lower())) for one in given]
    outputs = [tensor.asnumpy().tolist() for tensor in flat(model(*arguments))]
    return {"digests": digests(model), "outputs": outputs}


def config_and_class(config: Any, model_class: type) -> tuple[Any, str]:
    """Return a config as it was received, and the name of the class."""
    return config, model_class.__name__


def backend_probe(name: str) -> dict[str, Any]:
    """Probe a backend twice; return what it says, and what that did to the process."""
    _prepare()
    from dataclasses import asdict

    from ...backends.base import load_backend
    from ...errors import describe
    from ...plugins.registry import registry
    from ...utils.process_state import changes, look, watching_files

    registry.names("backend")
    before, error, probes = look(), "", []
    with watching_files() as files:
        try:
            backend = load_backend(name)
            for _ in range(2):
                probe = backend.probe()
                probes.append({**asdict(probe), "details": dict(probe.details)})
            environment = dict(backend.import_environment())
        except BaseException as raised:
            error, environment = describe(raised), {}
    writes = [event for event in files if event.startswith(("writes", "os."))]
    return {
        "probes": probes, "environment": environment, "error": error, "changes": changes(before), "files": writes,
        "mindspore": "mindspore" in sys.modules,
    }  # fmt: skip


def _prepare() -> None:
    """Import what the core needs to load plugins, so that it is not counted as theirs."""
    import importlib_metadata  # noqa: F401
    import pluggy  # noqa: F401

    from ...plugins import manager as plugins  # noqa: F401


def _call_hooks(module: Any) -> None:
    from ...plugins.manager import HOOKS

    for name in HOOKS:
        hook = getattr(module, name, None)
        if hook is not None:
            hook()


def _packages() -> set[str]:
    return {name.partition(".")[0] for name in sys.modules}
