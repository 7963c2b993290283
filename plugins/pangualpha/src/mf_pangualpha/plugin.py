"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, ProcessorSpec, TokenizerSpec

_NOTE = (
    "no safetensors weights of this size are published; `mf convert SOURCE --model {0}` makes them of the published "
    ".ckpt files. A directory that holds them, with the vocabulary vocab.model of the PanGu-Alpha release, is used "
    "when it is found as {0} under MF_MODELS"
)

_IDS = {"eod_token_id": 6, "eos_token_id": 9, "pad_token_id": 6}

_PRESETS = (
    Preset(
        name="pangualpha_tiny",
        parameters=1_412_096,
        config={
            "vocab_size": 1400, "hidden_size": 128, "num_layers": 6, "num_heads": 4, "ffn_hidden_size": 512,
            "seq_length": 168, "bos_token_id": 1, "eos_token_id": 2, "eod_token_id": 2, "pad_token_id": 3,
            "max_decode_length": 168, "temperature": 0.7, "initializer_range": 0.08,
            "embedding_dropout_prob": 0.0, "hidden_dropout_rate": 0.0, "attention_dropout_rate": 0.0,
        },
        weights="package:mf_pangualpha/data/tiny",
        license="Apache-2.0",
        description="short Chinese stories; shipped with the package",
    ),
    Preset(
        name="pangualpha_2_6b",
        parameters=2_625_295_360,
        config=_IDS,
        aliases=("pangualpha_2_6_b",),
        description="architecture alone",
        weights_note=_NOTE.format("pangualpha_2_6b"),
    ),
    Preset(
        name="pangualpha_13b",
        parameters=12_800_870_400,
        config={"hidden_size": 5120, "ffn_hidden_size": 20480, "num_layers": 40, "num_heads": 40, **_IDS},
        description="architecture alone",
        weights_note=_NOTE.format("pangualpha_13b"),
    ),
)


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configuration and its presets."""
    return [ConfigSpec(model_type="pangualpha", target="mf_pangualpha.config:PanguAlphaConfig", presets=_PRESETS)]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the model with its language-model head."""
    target, converter = "mf_pangualpha.modeling:PanguAlphaHeadModel", "mf_pangualpha.convert:PanguAlphaConverter"
    return [ModelSpec(model_type="pangualpha", target=target, heads=("base", "causal_lm"), converter=converter)]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer of jieba words and SentencePiece pieces."""
    return [TokenizerSpec(model_type="pangualpha", target="mf_pangualpha.tokenization:PanguAlphaTokenizer")]


@hookimpl
def mf_processors() -> list[ProcessorSpec]:
    """Return the text processor."""
    return [ProcessorSpec(model_type="pangualpha", target="mf_pangualpha.processing:PanguAlphaProcessor")]
