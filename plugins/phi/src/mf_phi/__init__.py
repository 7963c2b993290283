"""Phi-3 and Phi-4 for mf-framework."""
