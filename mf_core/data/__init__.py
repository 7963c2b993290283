"""From what a user gave as a dataset to rows of ids.

:func:`open_records` opens files, objects and streams as records. Records of text become rows with :func:`pack`; records
that hold ids are checked by :func:`rows`. :func:`write_mindrecord` writes rows to a file.
"""

from .files.mindrecord import write_mindrecord
from .mindspore_dataset import is_dataset, iterate, shards_of, size_of
from .opening import open_records
from .packing import PackedRows, PackedStream, pack
from .records import Records, RecordStream
from .rows import Rows, RowStream, rows

__all__ = [
    "PackedRows",
    "PackedStream",
    "RecordStream",
    "Records",
    "RowStream",
    "Rows",
    "is_dataset",
    "iterate",
    "open_records",
    "pack",
    "rows",
    "shards_of",
    "size_of",
    "write_mindrecord",
]
