"""Findings of the diagnosis, one for each thing examined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["ok", "warning", "error"]

#: From the worst to the best: the order in which findings are shown.
LEVELS: Final = ("error", "warning", "ok")


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        level: ``ok``, ``warning`` or ``error``.
        subject: What was looked at.
        message: What was found.
        hint: What to type or change.
        code: What kind of finding it is, for programs: ``"plugin-failed"``, ``"conflict"``; docs/doctor.md lists them.
        where: The line of a plugin's own code that it comes from.
    """

    level: Level
    subject: str
    message: str
    hint: str = ""
    code: str = ""
    where: str = ""
