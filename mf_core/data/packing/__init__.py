"""Texts into rows of ids of one length."""

from .packed_rows import PackedRows, PackedStream, pack

__all__ = ["PackedRows", "PackedStream", "pack"]
