"""MindSpore on ordinary processors, as a backend of mf-framework."""
