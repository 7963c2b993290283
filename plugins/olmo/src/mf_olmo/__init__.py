"""OLMo 2 for mf-framework."""
