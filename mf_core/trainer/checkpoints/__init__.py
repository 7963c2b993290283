"""Checkpoints of a run: written in the background, replaced as a whole, read back through a schema."""
