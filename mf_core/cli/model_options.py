"""Options of commands that run a model: which one, where, and how tokens are chosen."""

from __future__ import annotations

import argparse
from typing import Any


def add_model_options(parser: argparse.ArgumentParser, complete: bool) -> None:
    """Add the options; those of generation, whose fields need pydantic, only if complete."""
    parser.add_argument("--model", default="gpt2_tiny", help="preset, directory or owner/name (default: gpt2_tiny)")
    parser.add_argument("--revision", help="branch, tag or commit of a hub repository")
    parser.add_argument("--backend", help="device backend, such as cpu")
    parser.add_argument(
        "--weight-dtype", choices=("bfloat16", "int8"), help="store the weights in fewer bits: text comes faster"
    )
    parser.add_argument("--tokenizer", help="preset, directory or owner/name (default: the model's)")
    parser.add_argument("--assistant-model", help="a smaller model that proposes tokens: the same text")
    if complete:
        from .generation_flags import add_generation_flags

        add_generation_flags(parser)


def build_pipeline(options: argparse.Namespace, passed: dict[str, Any]) -> Any:
    """Return the pipeline that the options ask for, with ``passed`` as defaults of its calls."""
    import logging

    logging.getLogger("mf_core").setLevel(logging.ERROR)  # what it would say stands in the summary
    from ..pipelines import pipeline
    from .generation_flags import in_flags

    if options.assistant_model is not None:
        passed = {**passed, "assistant_model": options.assistant_model}
    with in_flags():
        return pipeline(
            "text_generation", options.model, options.tokenizer, device_target=options.backend,
            revision=options.revision, weight_dtype=options.weight_dtype, **passed,
        )  # fmt: skip
