"""PanGu-alpha for mf-framework (Zeng et al., 2021): config, model, tokenizer, processor and presets."""
