"""What a training run shows: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm


class Progress:
    """Prints ``step/total, loss, lr, grad norm, tokens/s, ETA``.

    Args:
        total: Steps of the run.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._start = self._last = time.perf_counter()
        self._last_step = 0
        self._bar = tqdm(total=total, unit="step", dynamic_ncols=True) if sys.stderr.isatty() else None

    def log(self, step: int, loss: float, rate: float, norm: float, tokens: float) -> None:
        """Show the state after ``step``; ``tokens`` is how many were trained on since the last call."""
        now = time.perf_counter()
        speed = tokens / max(now - self._last, 1e-9)
        # The first interval includes compiling, so the estimate goes by the last one.
        left = (self.total - step) * (now - self._last) / max(step - self._last_step, 1)
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.4f}, lr {rate:.2e}, grad norm {norm:.2f}, {speed:.0f} tokens/s")
            self._bar.update(step - self._last_step)
        else:
            print(
                f"step {step}/{self.total}  loss {loss:.4f}  lr {rate:.2e}  grad norm {norm:.2f}  "
                f"{speed:.0f} tokens/s  ETA {_clock(left)}",
                file=sys.stderr, flush=True,
            )  # fmt: skip
        self._last, self._last_step = now, step

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
