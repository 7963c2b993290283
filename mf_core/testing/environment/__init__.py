"""Environments with plugins: built and installed, or registered in this process for a while."""
