"""What every backend of mf-framework must do, checked on this package's."""

from mf_core.testing import BackendContract


class TestOneCoreBackend(BackendContract):
    distribution = "mf-one-core"
    backend = "one_core"
