"""Checks of a plugin's package: its entry modules, its targets and its wheel."""
