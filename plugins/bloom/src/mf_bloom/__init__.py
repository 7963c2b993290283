"""BLOOM for mf-framework."""
