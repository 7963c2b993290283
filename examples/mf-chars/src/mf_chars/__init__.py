"""Characters as tokens, for mf-framework: a vocabulary that is learned from your texts."""
