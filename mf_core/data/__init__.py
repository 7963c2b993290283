"""Datasets as users give them, opened as records and made into rows of ids.

:func:`open_records` opens files, objects and streams as records. :func:`pack` makes rows of texts; :func:`rows`
validates rows of ids. :func:`write_mindrecord` writes rows to a file, and :func:`content_digest` tells datasets apart.
"""

from .digest import content_digest
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
    "content_digest",
    "is_dataset",
    "iterate",
    "open_records",
    "pack",
    "rows",
    "shards_of",
    "size_of",
    "write_mindrecord",
]
