"""Granite for mf-framework."""
