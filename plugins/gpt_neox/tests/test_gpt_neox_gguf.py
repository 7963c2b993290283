"""GPT-NeoX from a GGUF file, whose queries, keys and values are those of all heads beside each other."""

import numpy as np
import pytest
from mf_gpt_neox.config import GPTNeoXConfig
from mf_gpt_neox.modeling import GPTNeoXForCausalLM

from mf_core import AutoModelForCausalLM

gguf = pytest.importorskip("gguf")

#: Ends of names in checkpoints -> those in GGUF files.
NAMES = {
    "input_layernorm": "attn_norm", "attention.query_key_value": "attn_qkv", "attention.dense": "attn_output",
    "post_attention_layernorm": "ffn_norm", "mlp.dense_h_to_4h": "ffn_up", "mlp.dense_4h_to_h": "ffn_down",
    "embed_in": "token_embd", "final_layer_norm": "output_norm", "embed_out": "output",
}  # fmt: skip


def test_weights_and_settings_are_those_of_the_checkpoint(tmp_path):
    config = GPTNeoXConfig(
        vocab_size=60, hidden_size=32, num_layers=2, num_heads=4, intermediate_size=48, seq_length=64,
        use_parallel_residual=False, partial_rotary_factor=0.5,
    )  # fmt: skip
    model = GPTNeoXForCausalLM(config)
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "gptneox")
    writer.add_block_count(2)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_layer_norm_eps(1e-5)
    writer.add_rope_dimension_count(4)
    writer.add_parallel_residual(False)
    for name, parameter in model.parameters_and_names():
        values = parameter.asnumpy()
        if "query_key_value" in name:
            values = np.ascontiguousarray(values.reshape(4, 3, 8, -1).swapaxes(0, 1).reshape(values.shape))
        path, _, kind = name.removeprefix("gpt_neox.").rpartition(".")
        if path.startswith("layers."):
            _, layer, rest = path.split(".", 2)
            path = f"blk.{layer}.{NAMES[rest]}"
        writer.add_tensor(f"{NAMES.get(path, path)}.{kind}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "a.gguf")
    assert not loaded.config.use_parallel_residual and loaded.config.rotary_width == 4 and loaded.config.attention_bias
    found = dict(loaded.parameters_and_names())
    for name, parameter in model.parameters_and_names():
        np.testing.assert_array_equal(found[name].asnumpy(), parameter.asnumpy(), err_msg=name)
