"""GGUF files: one file with a model's weights, often quantized, its hyper-parameters, tokenizer and chat template."""
