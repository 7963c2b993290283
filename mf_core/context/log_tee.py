"""A worker's output as the launcher passes it on."""

from __future__ import annotations

import os
import re
from typing import BinaryIO

#: How lines begin that MindSpore prints at the end of each process of a cluster, whatever its log level.
NOISE = b"[INFO] DISTRIBUTED("


def abandon(descriptor: int) -> None:
    """Discard all further and buffered output, since the reader or terminal is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


class Echo:
    """Copies a pipe's output to a stream immediately, and to a log. :data:`NOISE` goes to the log alone.

    Args:
        pipe: Its descriptor, which does not block.
        stream: Where it is shown.
        log: Where it is kept.
    """

    def __init__(self, pipe: int, stream: BinaryIO, log: BinaryIO) -> None:
        self.pipe, self.stream, self.log = pipe, stream, log
        self._pending, self._in_line = b"", False

    def copy(self) -> bool:
        """Copy what is available; return whether the stream has a reader. If not, only the log gets the rest."""
        try:
            while data := os.read(self.pipe, 1 << 16):
                self.log.write(data)
                self.log.flush()
                if not self._show(self._without_noise(data)):
                    return False
        except BlockingIOError:
            pass
        return True

    def finish(self) -> None:
        """Copy what is left, and show a beginning of a line that could have become noise."""
        self.copy()
        if not self._pending.startswith(NOISE):
            self._show(self._pending)
        self._pending = b""

    def _show(self, data: bytes) -> bool:
        try:
            self.stream.write(data)
            self.stream.flush()
        except OSError:
            abandon(self.stream.fileno())
            return False
        return True

    def _without_noise(self, data: bytes) -> bytes:
        shown = []
        for line in filter(None, re.split(rb"(?<=\n)", self._pending + data)):
            self._pending = b""
            if not self._in_line and (line.startswith(NOISE) or NOISE.startswith(line)):
                self._pending = b"" if line.endswith(b"\n") else line
                continue
            shown.append(line)
            self._in_line = not line.endswith(b"\n")
        return b"".join(shown)
