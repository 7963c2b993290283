"""The CPU backend keeps to the rules for plugins."""

from mf_core.testing import BackendContract


class TestCPUBackend(BackendContract):
    distribution = "mf-cpu-backend"
    backend = "cpu"
