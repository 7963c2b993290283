"""MindRecord and TFRecord files into arrays of the cache, read by MindSpore in a separate process.

MindSpore does not validate such files: a wrong length makes it allocate without limit and end the process. So a process
with a limit on its memory reads them, and its failure becomes an error.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...hub.cache import sha256_of
from ..prepared_cache import CacheEntry, entry_of
from .mindrecord import header_of
from .reader_process import JOB, main
from .tfrecord import check_frames


def convert(paths: Sequence[Path], kind: str) -> CacheEntry:
    """Return the columns of files of one kind, one file after the other.

    Args:
        paths: The files. They are known again by their bytes.
        kind: ``"mindrecord"`` or ``"tfrecord"``.

    Returns:
        Arrays ``input_ids``, the values of all rows one after the other, and ``input_ids_ends``, where each row ends;
        the same for other columns that are read. The facts ``counts``, the number of rows of each file, and
        ``others``, the names of columns that are not read.

    Raises:
        DataError: A file is truncated or corrupt, has no column ``input_ids``, or other columns than the first.
        FileMissingError: A MindRecord lacks its index.
    """
    if kind == "mindrecord":
        for path in paths:
            header_of(path)

    def fill(folder: Path) -> dict[str, Any]:
        if kind == "tfrecord":
            for path in paths:
                check_frames(path)
        return _read(paths, kind, folder)

    indexes = [path.with_name(f"{path.name}.db") for path in paths] if kind == "mindrecord" else []
    return entry_of(" ".join([kind, *(sha256_of(path) for path in (*paths, *indexes))]), fill)


def _read(paths: Sequence[Path], kind: str, folder: Path) -> dict[str, Any]:
    """Read the files into ``folder`` in a separate process, and return the metadata."""
    job = folder / JOB
    job.write_text(json.dumps({"kind": kind, "paths": [str(path.resolve()) for path in paths]}), encoding="utf-8")
    # The same modules are found as here, though the process works in another directory.
    search = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    code = f"import sys; from {main.__module__} import main; main(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=folder, env={**os.environ, "PYTHONPATH": search}, capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    report: dict[str, Any] = json.loads(job.read_text(encoding="utf-8"))
    job.unlink()
    if "facts" in report and done.returncode == 0:
        return dict(report["facts"])
    if "at" not in report:  # it has not come to the files
        raise DataError(
            f"the process that is to read {paths[0]} has failed", value=done.returncode, why=done.stderr.strip()[-2000:]
        )
    path = paths[report["at"]]
    raise DataError(
        report.get("what") or f"{path} is truncated or corrupt", value=str(path),
        why=report.get("why") or f"MindSpore ended its process: {_log_excerpt(done.stderr)}",
        hint=report.get("hint") or "write it again, or copy it again",
    )  # fmt: skip


def _log_excerpt(log: str) -> str:
    """Return the message of the first error in MindSpore's log, or the end of what is there."""
    errors = [line for line in log.splitlines() if line.startswith(("[ERROR]", "[CRITICAL]"))]
    return errors[0].rpartition("] ")[2] if errors else log.strip()[-500:]
