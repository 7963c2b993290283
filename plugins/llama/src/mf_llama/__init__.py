"""Llama and the families that follow it for mf-framework."""
