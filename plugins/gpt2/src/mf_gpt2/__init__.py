"""GPT-2 for mf-framework (Radford et al., 2019): config, model, tokenizer, processor and presets."""
