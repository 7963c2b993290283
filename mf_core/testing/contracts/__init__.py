"""The contracts: classes of tests that a plugin's tests inherit."""
