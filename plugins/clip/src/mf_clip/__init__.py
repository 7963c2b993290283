"""CLIP for mf-framework."""
