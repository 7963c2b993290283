"""GPT-NeoX and Pythia for mf-framework."""
