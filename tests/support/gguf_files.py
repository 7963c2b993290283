"""Small GGUF files, written with the gguf library."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

#: Bytes as the letters that byte-level BPE has for them, and a few merges.
MERGES = ["h e", "l l", "he ll", "hell o", "Ġ w", "Ġw o"]


def byte_letters() -> list[str]:
    """Return the 256 letters of byte-level BPE, by the byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def write_llama(
    path: Path, *, kind: str = "F32", tied: bool = True, layers: int = 2, width: int = 64, heads: int = 4,
    groups: int = 2, inner: int = 96, seed: int = 0, **metadata: object,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Write a small Llama with a byte-level tokenizer; return its tensors, as fp32, by their names in the file.

    Args:
        path: The file.
        kind: Format of the large matrices.
        tied: Whether the head is the embedding.
        layers, width, heads, groups, inner: Sizes.
        seed: Of the weights.
        **metadata: Further keys, with ``__`` for a dot.
    """
    random, number = np.random.default_rng(seed), gguf.GGMLQuantizationType[kind]
    writer, values = gguf.GGUFWriter(path, "llama"), {}
    tokens = [*byte_letters(), *(merge.replace(" ", "") for merge in MERGES), "<|end|>"]
    writer.add_block_count(layers)
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(groups)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - 1) + [3])
    writer.add_token_merges(MERGES)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_add_bos_token(False)
    for key, value in metadata.items():
        getattr(writer, "add_string" if isinstance(value, str) else "add_uint32")(key.replace("__", "."), value)

    def add(name: str, *shape: int) -> None:
        scale = np.float32(shape[-1] ** -0.5 if len(shape) > 1 else 1)
        array = random.standard_normal(shape).astype(np.float32) * scale
        if len(shape) == 1 or kind == "F32":
            writer.add_tensor(name, array)
        else:
            data = gguf.quants.quantize(array, number)
            writer.add_tensor(name, data, raw_dtype=number)
            array = gguf.quants.dequantize(data, number).astype(np.float32)
        values[name] = array

    size = width // heads
    add("token_embd.weight", len(tokens), width)
    for i in range(layers):
        for name, *shape in (
            ("attn_norm", width), ("attn_q", heads * size, width), ("attn_k", groups * size, width),
            ("attn_v", groups * size, width), ("attn_output", width, heads * size), ("ffn_norm", width),
            ("ffn_gate", inner, width), ("ffn_up", inner, width), ("ffn_down", width, inner),
        ):  # fmt: skip
            add(f"blk.{i}.{name}.weight", *shape)
    add("output_norm.weight", width)
    if not tied:
        add("output.weight", len(tokens), width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values
