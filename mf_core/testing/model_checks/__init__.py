"""Checks of a model, which ModelContract collects."""
