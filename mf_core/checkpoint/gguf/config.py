"""A GGUF file's hyper-parameters under the keys of ``config.json``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from ...errors import IntegrityError, UnsupportedError
from .header import GGUFHeader

#: Architecture -> model_type, for those whose names differ; others are the same.
MODEL_TYPES: Final[Mapping[str, str]] = {
    "gemma3": "gemma3_text", "gptneox": "gpt_neox", "qwen3moe": "qwen3_moe", "gpt-oss": "gpt_oss",
    "command-r": "cohere", "chatglm": "glm",
}  # fmt: skip

#: Key after the architecture's name -> key of ``config.json``.
_KEYS: Final[Mapping[str, str]] = {
    "block_count": "num_hidden_layers", "embedding_length": "hidden_size", "feed_forward_length": "intermediate_size",
    "context_length": "max_position_embeddings", "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads", "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.layer_norm_epsilon": "layer_norm_eps", "attention.key_length": "head_dim",
    "rope.freq_base": "rope_theta", "rope.freq_base_swa": "rope_local_base_freq",
    "attention.sliding_window": "sliding_window",
    "expert_count": "num_experts", "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size", "final_logit_softcapping": "final_logit_softcapping",
    "attn_logit_softcapping": "attn_logit_softcapping", "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier", "attention.scale": "attention_multiplier", "logit_scale": "logits_scaling",
}  # fmt: skip
#: The same for architectures whose configurations have other keys.
_OWN_KEYS: Final[Mapping[str, Mapping[str, str]]] = {
    "llama": {"expert_count": "num_local_experts"},
    "gptneox": {"use_parallel_residual": "use_parallel_residual"},
    "deepseek2": {
        "attention.q_lora_rank": "q_lora_rank", "attention.kv_lora_rank": "kv_lora_rank",
        "attention.key_length_mla": "head_dim", "attention.value_length": "v_head_dim",
        "attention.value_length_mla": "v_head_dim", "rope.dimension_count": "qk_rope_head_dim",
        "leading_dense_block_count": "first_k_dense_replace", "expert_count": "n_routed_experts",
        "expert_shared_count": "n_shared_experts", "expert_weights_scale": "routed_scaling_factor",
        "expert_weights_norm": "norm_topk_prob", "expert_group_count": "n_group",
        "expert_group_used_count": "topk_group",
    },
    "gpt2": {
        "block_count": "n_layer", "embedding_length": "n_embd", "context_length": "n_positions",
        "attention.head_count": "n_head", "attention.layer_norm_epsilon": "layer_norm_epsilon",
        "feed_forward_length": "n_inner",
    },
}  # fmt: skip
#: What files of an architecture do not say, because llama.cpp does not ask.
_FIXED: Final[Mapping[str, Mapping[str, Any]]] = {"qwen3moe": {"norm_topk_prob": True}}
#: Architecture -> layers of the model whose scores are divided by the root of ``hidden_size / heads``, not of a
#: head's width: files do not say it, and llama.cpp tells by the layers too.
_GEMMA_BY_WIDTH: Final[Mapping[str, int]] = {"gemma2": 46, "gemma3": 62}
#: ``expert_gating_func`` of experts that are weighed by sigmoids.
_SIGMOID: Final = 2
_TOKENS: Final = {
    "bos_token_id": "bos_token_id", "eos_token_id": "eos_token_id", "padding_token_id": "pad_token_id",
}  # fmt: skip


def model_type(header: GGUFHeader) -> str:
    """Return the family, by transformers' name."""
    architecture = header.architecture
    if architecture == "llama" and header.metadata.get("llama.expert_count"):
        return "mixtral"
    if architecture == "deepseek2":
        return "deepseek_v3" if header.metadata.get("deepseek2.expert_gating_func") == _SIGMOID else "deepseek_v2"
    return MODEL_TYPES.get(architecture, architecture)


def config_of(header: GGUFHeader) -> dict[str, Any]:
    """Return the contents of a ``config.json``.

    Raises:
        IntegrityError: A number that every model has is missing, or of a wrong type.
        UnsupportedError: The file is a part of a model, or says something that no model of its family has.
    """
    architecture, metadata = header.architecture, header.metadata
    parts = metadata.get("split.count")
    if isinstance(parts, int) and parts > 1:
        raise UnsupportedError(
            f"{header.path} is one of {parts} files that hold a model together", value=str(header.path),
            hint="make one file of them: llama-gguf-split --merge FIRST.gguf WHOLE.gguf",
        )  # fmt: skip
    keys = {**_KEYS, **_OWN_KEYS.get(architecture, {})}
    config: dict[str, Any] = {"model_type": model_type(header), **_FIXED.get(architecture, {})}
    for key, name in keys.items():
        value = metadata.get(f"{architecture}.{key}")
        if isinstance(value, list) and value and len(set(value)) == 1:
            value = value[0]  # given for each layer
        if value is not None:
            config[name] = _shortest(value) if isinstance(value, float) else value
    for key in ("block_count", "embedding_length", "attention.head_count"):
        if not isinstance(config.get(keys[key]), int):
            raise IntegrityError(
                f"{header.path} does not say its {architecture}.{key}", value=config.get(keys[key]),
                hint="the file is no model, or not whole",
            )
    embedding = header.tensors.get("token_embd.weight")
    if embedding is not None:
        config["vocab_size"] = embedding.shape[0]
    config["tie_word_embeddings"] = "output.weight" not in header.tensors
    for key, name in _TOKENS.items():
        value = metadata.get(f"tokenizer.ggml.{key}")
        config[name] = value if isinstance(value, int) else None  # not the family's: that may be another vocabulary's
    ends = [value for key in ("eos_token_id", "eot_token_id", "eom_token_id")
            if isinstance(value := metadata.get(f"tokenizer.ggml.{key}"), int)]  # fmt: skip
    if len(set(ends)) > 1:
        config["eos_token_id"] = list(dict.fromkeys(ends))
    config["attention_bias"] = not header.tensors.keys().isdisjoint(("blk.0.attn_q.bias", "blk.0.attn_qkv.bias"))
    if architecture in ("chatglm", "glm4"):  # the configuration's default is not this
        config.setdefault("head_dim", config["hidden_size"] // config["num_attention_heads"])
    _add_windows(header, config)
    _add_rope(header, config)
    if architecture in _GEMMA_BY_WIDTH:
        by_width = config["num_hidden_layers"] == _GEMMA_BY_WIDTH[architecture]
        width = None if by_width else config.get("head_dim")
        config["query_pre_attn_scalar"] = width or config["hidden_size"] // config["num_attention_heads"]
    if architecture == "deepseek2":
        _add_latents(header, config)
    return config


def _add_latents(header: GGUFHeader, config: dict[str, Any]) -> None:
    """Change what latent attention makes of the keys that other models have, and add which experts are chosen how.

    Raises:
        IntegrityError: The widths of a head are missing.
        UnsupportedError: Experts are weighed in a way that no model of the family does.
    """
    for name in ("head_dim", "qk_rope_head_dim", "v_head_dim", "kv_lora_rank"):
        if not isinstance(config.get(name), int):
            raise IntegrityError(
                f"{header.path} does not say the {name} of its latent attention", value=config.get(name),
                hint="it may be made by an old version of the converter: fetch a newer file",
            )  # fmt: skip
    config["qk_nope_head_dim"] = config.pop("head_dim") - config["qk_rope_head_dim"]
    config.pop("num_key_value_heads", None)  # 1: what the cache has
    absent = {"q_lora_rank": None, "first_k_dense_replace": 0, "routed_scaling_factor": 1.0, "n_group": 1,
              "topk_group": 1}  # fmt: skip
    config.update({name: value for name, value in absent.items() if name not in config})
    if config["model_type"] == "deepseek_v2":
        config["topk_method"] = "group_limited_greedy" if config["n_group"] > 1 else "greedy"
        if config.pop("norm_topk_prob", False):
            raise UnsupportedError(
                f"the experts of {header.path} are weighed by a softmax that is divided by its sum",
                value="deepseek2.expert_weights_norm", why="DeepSeek-V2 does not, and DeepSeek-V3 weighs by sigmoids",
            )  # fmt: skip
    multiplier = header.metadata.get("deepseek2.rope.scaling.yarn_log_multiplier")
    if "rope_scaling" in config and isinstance(multiplier, float):
        scale = _shortest(multiplier * 10)  # the file has 0.1 times it
        config["rope_scaling"] |= {"mscale": scale, "mscale_all_dim": scale}


def _add_windows(header: GGUFHeader, config: dict[str, Any]) -> None:
    """Add which layers are windowed, if the file has it: for each layer, or every how many layers one is not."""
    if config.get("sliding_window") == 0:
        del config["sliding_window"]  # Phi-4: there is none
    pattern = header.metadata.get(f"{header.architecture}.attention.sliding_window_pattern")
    if isinstance(pattern, list):
        config["layer_types"] = ["sliding_attention" if each else "full_attention" for each in pattern]
    elif isinstance(pattern, int):
        config["sliding_window_pattern"] = pattern


def _add_rope(header: GGUFHeader, config: dict[str, Any]) -> None:
    """Add how rotary positions are scaled."""
    architecture, metadata = header.architecture, header.metadata
    kind = metadata.get(f"{architecture}.rope.scaling.type")
    if kind in ("linear", "yarn"):
        config["rope_scaling"] = {"rope_type": kind, "factor": metadata.get(f"{architecture}.rope.scaling.factor", 1.0)}
        original = metadata.get(f"{architecture}.rope.scaling.original_context_length")
        if original is not None:
            config["rope_scaling"]["original_max_position_embeddings"] = original
    factors = header.tensors.get("rope_freqs.weight")
    if factors is not None:
        config["rope_scaling"] = _llama3(header, config, factors.read().tolist())
    long, short = header.tensors.get("rope_factors_long.weight"), header.tensors.get("rope_factors_short.weight")
    if long is not None and short is not None:
        config["rope_scaling"] = {
            "rope_type": "longrope", "long_factor": long.read().tolist(), "short_factor": short.read().tolist(),
        }  # fmt: skip
        attention = metadata.get(f"{architecture}.rope.scaling.attn_factor")
        if isinstance(attention, float):
            config["rope_scaling"]["attention_factor"] = attention
        original = metadata.get(f"{architecture}.rope.scaling.original_context_length")
        if original is not None:
            config["original_max_position_embeddings"] = original
            config["rope_scaling"]["original_max_position_embeddings"] = original
    turned = metadata.get(f"{architecture}.rope.dimension_count")
    width = config.get("head_dim") or config.get("hidden_size", 0) // (config.get("num_attention_heads") or 1)
    if architecture != "deepseek2" and isinstance(turned, int) and 0 < turned < width:
        config["partial_rotary_factor"] = turned / width


def _llama3(header: GGUFHeader, config: Mapping[str, Any], factors: list[float]) -> dict[str, Any]:
    """Return the settings of Llama 3 whose division of the frequencies the factors are: files have these alone.

    Raises:
        UnsupportedError: They are of another kind.
    """
    base, width = config.get("rope_theta", 10000.0), 2 * len(factors)
    plain = [base ** (-2 * i / width) for i in range(len(factors))]
    for factor in sorted({round(max(factors), 3), 8.0, 32.0}):
        settings = {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 8192}  # fmt: skip
        if all(math.isclose(each, _divided(frequency, factor), rel_tol=1e-4)
               for each, frequency in zip(factors, plain, strict=True)):  # fmt: skip
            return settings
    raise UnsupportedError(
        f"the rotary positions of {header.path} are scaled in a way that is not known", value=max(factors)
    )


def _divided(frequency: float, factor: float) -> float:
    turns = 8192 * frequency / (2 * math.pi)
    if turns > 4:
        return 1.0
    if turns < 1:
        return factor
    smooth = (turns - 1) / 3
    return 1 / ((1 - smooth) / factor + smooth)


def _shortest(value: float) -> float:
    """Return the shortest decimal of a float32: 1e-5 rather than 9.999999747378752e-06."""
    return float(f"{value:.7g}")
