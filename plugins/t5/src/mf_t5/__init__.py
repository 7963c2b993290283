"""T5 and mT5 for mf-framework."""
