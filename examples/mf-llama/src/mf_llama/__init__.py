"""Llama for mf-framework (Touvron et al., 2023): config, model, tokenizer and a small preset."""
