"""GLM-4 for mf-framework."""
