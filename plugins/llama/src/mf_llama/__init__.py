"""Llama, Mistral, Mixtral and SmolLM3 for mf-framework."""
