"""What this package offers to mf-framework. Targets are strings: nothing is imported before somebody uses it."""

from mf_core.hookspecs import hookimpl
from mf_core.specs import ConfigSpec, Preset, TokenizerSpec

_PRESETS = (
    Preset(
        name="chars_english",
        tokenizer="package:mf_chars/data/english",
        license="Apache-2.0",
        description="a tokenizer of characters: printable ASCII and line ends",
        config={"vocab_size": 99},
        weights_note="this package brings a tokenizer and no model",
    ),
)


@hookimpl
def mf_configs() -> list[ConfigSpec]:
    """Return the family, through which the tokenizer is found, and its preset."""
    return [
        ConfigSpec(
            model_type="chars",
            target="mf_chars.config:CharsConfig",
            presets=_PRESETS,
        )
    ]


@hookimpl
def mf_tokenizers() -> list[TokenizerSpec]:
    """Return the tokenizer."""
    return [
        TokenizerSpec(
            model_type="chars",
            target="mf_chars.tokenization:CharsTokenizer",
        )
    ]
