"""Lark for mf-framework, a decoder of Llama's form: config, model, tokenizer and a small preset."""
