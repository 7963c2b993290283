"""The Ascend backend keeps to the rules for plugins, where there is an Ascend and where there is none."""

from mf_core.testing import BackendContract


class TestAscendBackend(BackendContract):
    distribution = "mf-ascend-backend"
    backend = "ascend"
