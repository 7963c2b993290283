"""Checkpoints: locating one by name, reading and writing its tensors, whole or sharded."""
