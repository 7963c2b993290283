"""What every tokenizer of mf-framework must do, checked on this package's."""

from mf_core.testing import TokenizerContract


class TestCharsTokenizer(TokenizerContract):
    distribution = "mf-chars"
    model_type = "chars"
    source = "chars_english"
    texts = ("hello", "good day", "line\nline")
