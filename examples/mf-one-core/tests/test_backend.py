"""What is particular to this backend; what every backend must do is in test_conformance.py."""

import os
import subprocess
import sys

import pytest
from mf_core.errors import BackendError, UnsupportedError

from mf_one_core.backend import OneCoreBackend

USE = """
import os, numpy as np
import mindspore as ms
from mf_core import get_backend
last = len(os.sched_getaffinity(0)) - 1
backend = get_backend("one_core", device_id=last)
x = ms.Tensor(np.ones((300, 300), np.float32))
print((x @ x).asnumpy()[0, 0])
print(backend.describe())
print(sorted({tuple(os.sched_getaffinity(int(t))) for t in os.listdir("/proc/self/task")}))
"""

needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")


@needs_affinity
def test_every_thread_is_on_the_chosen_core():
    done = subprocess.run([sys.executable, "-c", USE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    core = max(os.sched_getaffinity(0))
    assert done.stdout.splitlines() == ["300.0", f"one_core, core {core}, float32", f"[({core},)]"]


@needs_affinity
def test_a_device_for_each_core():
    assert OneCoreBackend().probe().device_count == len(os.sched_getaffinity(0))
    with pytest.raises(BackendError, match="there is no one_core device 4096"):
        OneCoreBackend().setup(4096)


def test_a_system_without_affinity_is_reported(monkeypatch):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    probe = OneCoreBackend().probe()
    assert not probe.available
    assert probe.reason == "affinity: not on this system (wanted: Linux); use the cpu backend"


def test_clusters_are_refused():
    with pytest.raises(UnsupportedError, match="cluster of 2 processes"):
        OneCoreBackend().collectives([0, 1], 0)
