"""Options of ``transformers``' generation that are not supported, each with the reason and what to use instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Unsupported:
    """An option that is refused.

    Attributes:
        why: The reason.
        hint: What to type instead.
        off: Values with which it is off; None always is.
        changes_text: Whether a text would differ, so that a file that sets it is worth a warning.
    """

    why: str
    hint: str = "leave it out"
    off: tuple[Any, ...] = ()
    changes_text: bool = True


_GROUPS = Unsupported("transformers itself has given up groups of beams", off=(0, 1))
_FORCED = Unsupported("transformers itself has given up constrained beams", "grammar=… or regex=… say what must come")
_ENCODER = Unsupported("it is for models with an encoder", off=(0, 1))
_CACHE = Unsupported("the cache's size and kind follow from the call", changes_text=False)
_RECORDED = Unsupported(
    "a text's log-probabilities are recorded", "logprobs=5, return_dict_in_generate=True", changes_text=False
)
_INSIDE = Unsupported("the compiled pass returns logits alone", "call the model on the ids", changes_text=False)
_DRAFTS = Unsupported("drafts follow one rule", "assistant_model with num_assistant_tokens", changes_text=False)
_CODE = Unsupported("no code comes from a checkpoint", "logits_processor, stopping_criteria: functions of yours")

#: Name -> why it is refused.
UNSUPPORTED: Mapping[str, Unsupported] = {
    "penalty_alpha": Unsupported(
        "transformers 5 has moved contrastive search out of the library; it runs the model on top_k candidates a step",
        "no_repeat_ngram_size or repetition_penalty against repetition", off=(0,),
    ),
    "guidance_scale": Unsupported("it runs the model twice a step", off=(1,)),
    "dola_layers": Unsupported("transformers 5 has moved DoLa out of the library"),
    "num_beam_groups": _GROUPS, "diversity_penalty": _GROUPS, "constraints": _FORCED, "force_words_ids": _FORCED,
    "watermarking_config": Unsupported("it marks texts for a detector, which is not there"),
    "token_healing": Unsupported("it changes the prompt's last token", "end the prompt before a blank", off=(False,)),
    "max_time": Unsupported(
        "a text would depend on the machine", "a stopping_criteria that looks at the clock"
    ),
    "top_h": Unsupported("it is not built", "min_p or typical_p, which also follow the distribution"),
    "encoder_repetition_penalty": _ENCODER, "encoder_no_repeat_ngram_size": _ENCODER,
    "prefix_allowed_tokens_fn": Unsupported("a structure or a function says it", "regex=…, or logits_processor"),
    "streamer": Unsupported(
        "pipelines stream", "pipeline(…)(prompt, stream=True), or callbacks=print", changes_text=False
    ),
    "use_cache": Unsupported("generation always keeps keys and values", changes_text=False),
    "cache_implementation": _CACHE, "cache_config": _CACHE, "max_cache_len": _CACHE, "low_memory": _CACHE,
    "prefill_chunk_size": _CACHE, "output_scores": _RECORDED, "output_logits": _RECORDED,
    "output_attentions": _INSIDE, "output_hidden_states": _INSIDE,
    "num_assistant_tokens_schedule": _DRAFTS, "assistant_confidence_threshold": _DRAFTS,
    "assistant_early_exit": _DRAFTS, "max_matching_ngram_size": _DRAFTS, "assistant_tokenizer": _DRAFTS,
    "custom_generate": _CODE, "trust_remote_code": _CODE,
}  # fmt: skip
