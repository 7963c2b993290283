"""What this package offers to the core."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, ModelSpec, Preset, ProcessorSpec, TokenizerSpec

_VOCABULARY = "package:mf_gpt2/data/vocab"

_PRESETS = (
    Preset(
        name="gpt2_tiny",
        parameters=957_184,
        config={
            "vocab_size": 1024, "hidden_size": 128, "num_layers": 4, "num_heads": 4, "seq_length": 256,
            "bos_token_id": 0, "eos_token_id": 0, "unk_token_id": 0, "pad_token_id": 1,
            "max_decode_length": 256, "temperature": 0.7, "initializer_range": 0.08,
            "embedding_dropout_prob": 0.0, "hidden_dropout_rate": 0.0, "attention_dropout_rate": 0.0,
        },
        weights="package:mf_gpt2/data/tiny",
        license="Apache-2.0",
        description="short English stories; shipped with the package",
    ),
    Preset(
        name="gpt2",
        parameters=124_439_808,
        weights="hub:openai-community/gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e",
        tokenizer=_VOCABULARY,
        sha256={"model.safetensors": "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707"},
        license="MIT",
    ),
    Preset(
        name="gpt2_medium",
        parameters=354_823_168,
        config={"hidden_size": 1024, "num_layers": 24, "num_heads": 16},
        weights="hub:openai-community/gpt2-medium@6dcaa7a952f72f9298047fd5137cd6e4f05f41da",
        tokenizer=_VOCABULARY,
        license="MIT",
    ),
    Preset(
        name="gpt2_large",
        parameters=774_030_080,
        config={"hidden_size": 1280, "num_layers": 36, "num_heads": 20},
        weights="hub:openai-community/gpt2-large@32b71b12589c2f8d625668d2335a01cac3249519",
        tokenizer=_VOCABULARY,
        license="MIT",
    ),
    Preset(
        name="gpt2_xl",
        parameters=1_557_611_200,
        config={"hidden_size": 1600, "num_layers": 48, "num_heads": 25},
        weights="hub:openai-community/gpt2-xl@15ea56dee5df4983c59b2538573817e1667135e2",
        tokenizer=_VOCABULARY,
        license="MIT",
    ),
    Preset(
        name="gpt2_13b",
        parameters=12_848_143_360,
        config={"hidden_size": 5120, "num_layers": 40, "num_heads": 40},
        tokenizer=_VOCABULARY,
        license="",
        description="architecture and vocabulary",
        weights_note="no safetensors weights of this size are published; a directory that holds yours is used when "
        "it is found as gpt2_13b under MF_MODELS",
    ),
)  # fmt: skip


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the configuration and its presets."""
    return [ConfigSpec(model_type="gpt2", target="mf_gpt2.config:GPT2Config", presets=_PRESETS)]


@hookimpl
def mf_models() -> list[ModelSpec]:
    """Return the model with its language-model head, and with that of a classifier."""
    target, converter = "mf_gpt2.modeling:GPT2LMHeadModel", "mf_gpt2.convert:GPT2Converter"
    classifier, head = "mf_gpt2.modeling:GPT2ForSequenceClassification", ("sequence_classification",)
    return [
        ModelSpec(model_type="gpt2", target=target, heads=("base", "causal_lm"), converter=converter),
        ModelSpec(model_type="gpt2", target=classifier, heads=head),
    ]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the byte-level BPE tokenizer."""
    return [TokenizerSpec(model_type="gpt2", target="mf_gpt2.tokenization:GPT2Tokenizer")]


@hookimpl
def mf_processors() -> list[ProcessorSpec]:
    """Return the text processor."""
    return [ProcessorSpec(model_type="gpt2", target="mf_gpt2.processing:GPT2Processor")]
