"""mypy, for tests of what is typed: one cache for all, since reading the core's types is what takes long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from filelock import FileLock


def run_mypy(*arguments: str, cwd: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run mypy in a folder; runs that share a cache wait for each other."""
    with FileLock(f"{cache}.lock"):
        return subprocess.run(
            [sys.executable, "-m", "mypy", "--cache-dir", str(cache), *arguments],
            cwd=cwd, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
