"""A backend for mf-framework that computes on one chosen core."""
