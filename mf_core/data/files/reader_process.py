"""The process that reads MindRecord and TFRecord files with MindSpore; see :mod:`mf_core.data.files.convert`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from ...errors import DataError, MFError, describe
from ..prepared_cache import ArrayWriter
from ..record_source import COLUMNS

#: The file with the process's task and, at its end, its result.
JOB: Final = "job.json"

#: Bytes of memory that reading may take beside what MindSpore itself does.
_ROOM: Final = 4 << 30

_ROWS: Final = 256


def main(folder: str) -> None:
    """Read the files of the job in ``folder`` into arrays there; write metadata or the error into the job."""
    file = Path(folder) / JOB
    job = json.loads(file.read_text(encoding="utf-8"))

    def tell(**words: Any) -> None:
        job.update(words)
        file.write_text(json.dumps(job), encoding="utf-8")

    from ...backends.base import import_mindspore

    import_mindspore()
    _limit_memory()
    try:
        tell(facts=_read(job["kind"], [Path(path) for path in job["paths"]], Path(folder), lambda at: tell(at=at)))
    except MFError as error:
        tell(what=error.what, why=error.why, hint=error.hint)
    except (RuntimeError, ValueError, MemoryError) as error:  # what MindSpore raises for files that it cannot read
        tell(why=_reason(error))


def _read(kind: str, paths: Sequence[Path], folder: Path, begin: Callable[[int], None]) -> dict[str, Any]:
    from mindspore import dataset

    writers: dict[str, tuple[ArrayWriter, ArrayWriter]] = {}
    counts: list[int] = []
    others: list[str] = []
    for number, path in enumerate(paths):
        begin(number)
        reader = dataset.MindDataset if kind == "mindrecord" else dataset.TFRecordDataset
        # A list, as MindDataset takes one shard alone for all of them.
        has = sorted(reader([str(path)], shuffle=False).get_col_names())
        names = [name for name in COLUMNS if name in has]
        if "input_ids" not in names:
            raise DataError(
                f"{path} has no column 'input_ids'; it has: {', '.join(has)}", hint="write the ids under that name"
            )
        if writers and list(writers) != names:
            raise DataError(f"{path} has {', '.join(names)}, and {paths[0]} has {', '.join(writers)}")
        for name in names:
            if name not in writers:
                writers[name] = (ArrayWriter(folder / f"{name}.npy"), ArrayWriter(folder / f"{name}_ends.npy"))
        others = others or [name for name in has if name not in COLUMNS]
        data = reader([str(path)], columns_list=names, shuffle=False, num_parallel_workers=1)
        counts.append(_write(data.create_dict_iterator(num_epochs=1, output_numpy=True), writers))
    for values, ends in writers.values():
        values.close()
        ends.close()
    return {"counts": counts, "others": others}


def _write(records: Iterable[dict[str, np.ndarray]], writers: dict[str, tuple[ArrayWriter, ArrayWriter]]) -> int:
    """Append all records, and return how many there were."""
    waiting: list[dict[str, np.ndarray]] = []
    count = 0

    def flush() -> None:
        for name, (values, ends) in writers.items():
            rows = [np.ravel(record[name]) for record in waiting]
            ends.append(np.cumsum([row.size for row in rows], dtype=np.int64) + values.count)
            values.append(np.concatenate(rows))
        waiting.clear()

    for record in records:
        waiting.append(record)
        count += 1
        if len(waiting) == _ROWS:
            flush()
    if waiting:
        flush()
    return count


def _limit_memory() -> None:
    """Let this process have ``_ROOM`` more than it has; nothing where the system knows no such limit."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + _ROOM, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _reason(error: Exception) -> str:
    """Return MindSpore's message without its headings and its C++ stack."""
    text = str(error).partition("- C++ Call Stack")[0]
    lines = [line.strip() for line in text.splitlines()]
    noise = ("---", "- ", "Exception thrown from dataset", "This exception is caused by framework")
    kept = [line for line in lines if line and not line.startswith(noise)]
    return " ".join(kept).removeprefix("[ERROR] ")[:1000] or describe(error)
