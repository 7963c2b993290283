"""MindSpore on Ascend processors, as a backend of mf-framework."""
