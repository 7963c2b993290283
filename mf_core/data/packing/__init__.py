"""Texts into rows of ids of one length."""

from .pack import PackedRows, PackedStream, pack

__all__ = ["PackedRows", "PackedStream", "pack"]
