"""Zero-shot classification for mf-framework: a language model tells which of several labels a text goes on with."""
