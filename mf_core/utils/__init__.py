"""Small modules that every layer may use: files, settings, seeds, deprecations."""
