"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, TokenizerSpec

#: Width, head width, inner width, layers and heads of each size.
_SIZES = {
    "small": (512, 64, 2048, 6, 8), "base": (768, 64, 3072, 12, 12), "large": (1024, 64, 4096, 24, 16),
    "3b": (1024, 128, 16384, 24, 32),
}  # fmt: skip
_GATED_SIZES = {
    "small": (512, 64, 1024, 8, 6), "base": (768, 64, 2048, 12, 12), "large": (1024, 64, 2816, 24, 16),
    "xl": (2048, 64, 5120, 24, 32),
}  # fmt: skip


def _preset(
    name: str, weights: str, parameters: int, sizes: tuple[int, ...], description: str = "", **config: object
) -> Preset:
    fields = ("hidden_size", "head_dim", "intermediate_size", "num_layers", "num_heads")
    return Preset(
        name=name, weights=f"hub:{weights}", parameters=parameters, aliases=(weights.partition("/")[2],),
        description=description, license="Apache-2.0", config={**dict(zip(fields, sizes, strict=True)), **config},
    )  # fmt: skip


_GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "scale_decoder_outputs": False}
_T5 = {"small": 60_506_624, "base": 222_903_552, "large": 737_668_096, "3b": 2_851_598_336}
_GATED_T5 = {"small": 76_961_152, "base": 247_577_856, "large": 783_150_080, "xl": 2_849_757_184}
_MT5 = {"small": 300_176_768, "base": 582_401_280, "large": 1_229_581_312}

_PRESETS = {
    "t5": (
        *(_preset(f"t5_{size}", f"google-t5/t5-{size}", count, _SIZES[size]) for size, count in _T5.items()),
        *(
            _preset(
                f"flan_t5_{size}", f"google/flan-t5-{size}", count, _GATED_SIZES[size], "follows instructions", **_GATED
            )
            for size, count in _GATED_T5.items()
        ),
        *(
            _preset(
                f"t5_v1_1_{size}", f"google/t5-v1_1-{size}", count, _GATED_SIZES[size], "untrained on tasks",
                **_GATED,
            )
            for size, count in _GATED_T5.items()
        ),
    ),
    "mt5": tuple(
        _preset(f"mt5_{size}", f"google/mt5-{size}", count, _GATED_SIZES[size], "101 languages, untrained on tasks")
        for size, count in _MT5.items()
    ),
}  # fmt: skip


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configurations and their presets."""
    return [
        ConfigSpec(model_type=name, target=f"mf_t5.config:{name.upper()}Config", presets=presets)
        for name, presets in _PRESETS.items()
    ]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the models."""
    target, heads = "mf_t5.modeling:{}ForConditionalGeneration", ("base", "seq2seq_lm")
    return [ModelSpec(model_type=name, target=target.format(name.upper()), heads=heads) for name in _PRESETS]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizers of SentencePiece's unigram models."""
    return [
        TokenizerSpec(model_type=name, target=f"mf_t5.tokenization:{name.upper()}Tokenizer") for name in _PRESETS
    ]
