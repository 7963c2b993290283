"""Plugins: discovery, guarded loading, and the registry that resolves names to classes."""
