"""Labels that a caller gives, and the texts that are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ArgumentError, ArgumentTypeError


def check_candidates(options: Mapping[str, Any]) -> None:
    """Check the options ``candidate_labels`` and ``hypothesis_template``, where they are given.

    Raises:
        ArgumentTypeError: The labels are not a list of names.
        ArgumentError: The template has no ``{}`` for a label.
    """
    labels, template = options.get("candidate_labels"), options.get("hypothesis_template", "{}")
    if labels is not None and not (
        isinstance(labels, (list, tuple)) and labels and all(isinstance(label, str) for label in labels)
    ):
        raise ArgumentTypeError(f"candidate_labels={labels!r:.60} is not a list of names", value=labels)
    if not isinstance(template, str) or "{}" not in template:
        raise ArgumentError(f"hypothesis_template={template!r} has no {{}} for the label", value=template)
