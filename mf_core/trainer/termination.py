"""SIGTERM as a wish to stop after the step that is under way."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Termination:
    """Within the block, a SIGTERM sets ``asked`` and ends nothing; outside it, what was set before holds.

    In a thread that is not the main one, where Python takes no signal handlers, it does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: Any = None

    def __enter__(self) -> Termination:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
