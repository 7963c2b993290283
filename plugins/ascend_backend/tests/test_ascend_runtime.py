"""What reaches CANN: MindSpore's own Ascend plugin runs, and CANN under it writes down what it is asked.

The boundary is CANN's C interface (see ``fake_cann.py``), the lowest that can be replaced. No number is computed.
"""

import os
import socket
import subprocess
import sys

import pytest

from .fake_cann import can_be_made, make, run
from .machine import lay_out

pytestmark = pytest.mark.skipif(not can_be_made(), reason="takes Linux, a C and a C++ compiler, and nm")

#: The beginning of every process: devices and driver are those of a folder, CANN and MindSpore are found as they are.
#: The fake has no compiler of operators and no kernels, and the user says that this is fine.
BEGIN = """
import os
from pathlib import Path
import mf_ascend_backend.backend as backend
from mf_ascend_backend.host import Host

class Machine(Host):
    def path(self, name):
        laid_out = name.startswith(("/dev", "/etc", "/sys", "/usr/local/Ascend"))
        return Path(os.environ["MACHINE"] + name) if laid_out else super().path(name)

backend.Host = Machine

def say(text):
    with open(os.environ["FAKE_CANN_LOG"], "a") as file:
        print("==", text, file=file)
"""


@pytest.fixture(scope="module")
def cann(tmp_path_factory):
    """The environment of processes that find an Ascend machine."""
    machine = tmp_path_factory.mktemp("machine")
    lay_out(machine)
    environment = make(tmp_path_factory.mktemp("cann"))
    environment["LD_LIBRARY_PATH"] += ":/usr/local/Ascend/driver/lib64/driver"
    inherited = os.environ.get("PYTHONPATH")
    if inherited:
        environment["PYTHONPATH"] += f":{inherited}"
    return {**environment, "MACHINE": str(machine), "MF_ASCEND_TRUST": "te, operators, CANN kernels", "GLOG_v": "4"}


def parts(log):
    """Return what was said after each ``== name``: name -> lines, devices and memory aside."""
    found, name = {}, ""
    for line in log.read_text().splitlines():
        if line.startswith("== "):
            name = line[3:]
            found[name] = []
        elif not line.startswith("aclrt"):
            found.setdefault(name, []).append(line)
    return found


KERNELS = """
from mf_core import init_context
from mf_core.backends import get_backend
init_context(context_config=dict(device_target="Ascend", device_id=1, max_device_memory="8GB"))
device = get_backend()
print(device.describe(), device.memory_total() >> 30, device.peak_flops("bfloat16"))

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn
from mf_core.nn import RMSNorm
from mf_core.nn.kernels import NAMES, kernel
from mf_core.trainer import TrainingArguments
from mf_core.optim.optimizers import AdamW

print([name for name in NAMES if kernel(name)], ms.get_current_device())

ms.set_context(mode=1)
norm = RMSNorm(64, epsilon=1e-5, param_dtype="float16", dtype="float16")
ms.runtime.synchronize()
say("norm, one operation at a time")
norm(Tensor(np.ones((2, 4, 64), np.float16)))
ms.runtime.synchronize()
ms.set_context(mode=0)

say("norm and its gradient, compiled")
gradient = ms.value_and_grad(norm, 0, norm.trainable_params())

@ms.jit
def compiled(x):
    return gradient(x)

compiled(Tensor(np.ones((2, 4, 64), np.float16)))[0].asnumpy()

say("attention and its gradient, compiled")
attention = kernel("causal_attention")

class Attend(nn.Cell):
    def construct(self, query, key, value, hidden):
        return attention(query, key, value, hidden, 0.125)

gradients = ms.grad(Attend(), (0, 1, 2))

@ms.jit
def compiled(query, key, value, hidden):
    return gradients(query, key, value, hidden)

query, key = Tensor(np.ones((2, 4, 16, 64), np.float16)), Tensor(np.ones((2, 4, 32, 64), np.float16))
compiled(query, key, key, Tensor(np.zeros((2, 1, 16, 32), bool)))[0].asnumpy()

say("update, compiled")
weights = [Parameter(Tensor(np.ones(size, np.float32)), name=str(size)) for size in ((4, 8), (8,))]
args = TrainingArguments(output_dir=os.environ["TMPDIR"], weight_decay=0.01, adam_beta2=0.95)
optimizer = AdamW(weights, args)

class Update(nn.Cell):
    def __init__(self):
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer

    @ms.jit
    def construct(self, gradients, rate):
        return self.optimizer.update_where(Tensor(True), gradients, Tensor(1.0, ms.float32), rate)

gradients = tuple(Tensor(np.ones(weight.shape, np.float32)) for weight in weights)
Update()(gradients, Tensor(0.125, ms.float32)).asnumpy()
say("end")
print(device.memory_used() > 0, device.memory_left() >> 30)
print(sorted(os.listdir(".")))
"""


@pytest.fixture(scope="module")
def single(cann, tmp_path_factory):
    """Standard output and log of one process."""
    folder = tmp_path_factory.mktemp("single")
    (folder / "work").mkdir()
    (folder / "script.py").write_text(BEGIN + KERNELS)  # the compiler reads the source, so it must be in a file
    code = f"import runpy; runpy.run_path({str(folder / 'script.py')!r}, run_name='__main__')"
    done = run(cann, code, folder / "work", FAKE_CANN_LOG=str(folder / "log"), TMPDIR=str(folder))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), folder / "log"


def test_device_and_memory(single):
    out, log = single
    assert out[0] == "ascend 1 (Ascend910B3), float16 64 313000000000000.0"
    assert out[1] == "['causal_attention', 'rms_norm', 'fused_adamw'] ('Ascend', 1)"
    assert out[2] == "True 60"
    assert out[3] == "[]"  # nothing was written into the working directory
    asked = log.read_text().splitlines()
    assert {line for line in asked if line.startswith("aclrtSetDevice")} == {"aclrtSetDevice 1"}
    sizes = [int(line.split()[1]) for line in asked if line.startswith(("aclrtReserveMemAddress", "aclrtMalloc "))]
    assert sizes
    assert max(sizes) <= 8 << 30


def test_norm(single):
    said = parts(single[1])
    norm = "aclnnRmsNorm f16[2,4,64] f16[64] epsilon 1e-05 -> f16[2,4,64]"
    assert said["norm, one operation at a time"] == [norm]
    assert said["norm and its gradient, compiled"][:2] == [norm, "aclnnRmsNormGrad f16[2,4,64] -> f16[2,4,64] f32[64]"]


def test_attention(single):
    query, key = "f16[2,4,16,64]", "f16[2,4,32,64]"
    assert parts(single[1])["attention and its gradient, compiled"] == [
        f"aclnnFlashAttentionScore {query} {key} {key} shift none drop none mask bool[2,1,16,32] scale 0.125 keep 1 "
        f"heads 4 BNSD sparse 1 -> {query}",
        f"aclnnFlashAttentionScoreGrad {query} mask bool[2,1,16,32] scale 0.125 heads 4 BNSD sparse 1 -> "
        f"{query} {key} {key}",
    ]


def test_update(single):
    said = [line for line in parts(single[1])["update, compiled"] if line.startswith("aclnnApplyAdamWV2")]
    rest = "step f32[1] rate 0.125 betas 0.9 0.95 decay {} epsilon 1e-08 flags 0 0"
    assert said == [
        "aclnnApplyAdamWV2 f32[4,8] f32[4,8] f32[4,8] gradient f32[4,8] " + rest.format("0.01"),
        "aclnnApplyAdamWV2 f32[8] f32[8] f32[8] gradient f32[8] " + rest.format("0"),
    ]


def test_chips_and_devices_that_do_not_do(cann, tmp_path):
    code = BEGIN + (
        "from mf_core import get_backend\n"
        "from mf_core.errors import BackendError\n"
        "for number in (2, 0):\n"
        "    try: device = get_backend('ascend', number)\n"
        "    except BackendError as error: print(error)\n"
        "from mf_core.nn.kernels import NAMES, kernel\n"
        "print(device.describe(), {kernel(name) for name in NAMES})"
    )
    done = run(cann, code, tmp_path, FAKE_CANN_CHIP="Ascend910A", FAKE_CANN_LOG=str(tmp_path / "log"))
    assert done.returncode == 0, done.stderr
    *error, last = done.stdout.splitlines()
    assert error[0] == "[MF401] there is no ascend device 2"
    assert "2 can be used here, numbered from 0" in error[1]
    assert last == "ascend 0 (Ascend910A), float16 {None}"


def test_a_plugin_that_does_not_load_is_reported_with_the_library(cann, tmp_path):
    code = BEGIN + (
        "from mf_core import get_backend\nfrom mf_core.errors import BackendError\n"
        "Machine.has_library = lambda self, name: True\n"
        "try: get_backend('ascend')\nexcept BackendError as error: print(error)"
    )
    done = run(cann, code, tmp_path, LD_LIBRARY_PATH="", FAKE_CANN_LOG=str(tmp_path / "log"))
    assert done.returncode == 0, done.stderr
    assert "[MF401] MindSpore's Ascend plugin does not load" in done.stdout
    assert "libge_runner.so: cannot open shared object file" in done.stdout


CLUSTER = """
from mf_core import init_context
from mf_core.backends import get_backend
rank, size = init_context(use_parallel=True, context_config=dict(device_target="Ascend"))
import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
say("group")
group = get_backend().collectives([0, 1], rank)
x = Tensor(np.ones((2, 4), np.float32))

class Compiled(nn.Cell):
    def __init__(self):
        super().__init__(auto_prefix=False)
        self.group = group

    @ms.jit
    def construct(self, x):
        group = self.group
        return group.all_reduce(x), group.all_gather(x), group.reduce_scatter(x), group.broadcast(x, 1)

say("compiled")
shapes = [y.shape for y in Compiled()(x)]
ms.runtime.synchronize()
for name, call in [
    ("send", lambda: group.send(x, 1 - rank)), ("recv", lambda: group.recv(x, 1 - rank)),
    ("exchange", lambda: group.exchange(x)), ("barrier", lambda: group.barrier()),
]:
    say(name)
    shapes.append(getattr(call(), "shape", None))
    ms.runtime.synchronize()
say("end")
print("FOUND", rank, size, get_backend().describe(), shapes)
"""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_a_cluster_started_by_msrun_speaks_by_hccl(cann, tmp_path):
    (tmp_path / "meeting").mkdir()
    (tmp_path / "script.py").write_text(
        f"import os\nos.environ['FAKE_CANN_LOG'] = {str(tmp_path)!r} + '/log-' + os.environ.get('MS_NODE_ID', 'x')\n"
        + BEGIN + CLUSTER
    )  # fmt: skip
    environment = {**os.environ, **cann, "FAKE_CANN_MEETING": str(tmp_path / "meeting"), "MS_NODE_TIMEOUT": "100"}
    environment["PATH"] = f"{os.path.dirname(sys.executable)}:{environment['PATH']}"
    done = subprocess.run(
        ["msrun", "--worker_num=2", "--local_worker_num=2", f"--master_port={free_port()}", "--join=True",
         f"--log_dir={tmp_path}/logs", str(tmp_path / "script.py")],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    logs = {rank: (tmp_path / "logs" / f"worker_{rank}.log").read_text() for rank in (0, 1)}
    assert done.returncode == 0, logs
    for rank in (0, 1):
        shapes = [(2, 4), (4, 4), (1, 4), (2, 4), None, (2, 4), (2, 4), None]
        assert f"FOUND {rank} 2 ascend {rank} (Ascend910B3), float16 {shapes}" in logs[rank]
        log = tmp_path / f"log-{rank}"
        assert {line for line in log.read_text().splitlines() if line.startswith("aclrtSetDevice")} == {
            f"aclrtSetDevice {rank}"
        }
        other, said = 1 - rank, parts(log)
        groups = [line for lines in said.values() for line in lines if line.startswith("HcclCommInit")]
        assert groups == [f"HcclCommInitRootInfo {rank} of 2"] * 2  # that of all, and this one
        assert sorted(line for line in said["compiled"] if line not in groups) == [
            "HcclAllGather 8 type 4", "HcclAllReduce 8 type 4 operation 0", "HcclBroadcast 8 type 4 root 1",
            "HcclReduceScatter 4 type 4 operation 0",
        ]  # fmt: skip
        assert said["send"] == [f"HcclSend 8 type 4 to {other}"]
        assert said["recv"] == ["aclnnInplaceZero f32[2,4]", f"HcclRecv 8 type 4 from {other}"]
        assert said["exchange"] == [
            "aclnnInplaceZero f32[2,4]", f"HcclBatchSendRecv send 8 type 4 peer {other}",
            f"HcclBatchSendRecv recv 8 type 4 peer {other}",
        ]  # fmt: skip
        assert said["barrier"] == ["aclnnInplaceZero f32[1]", "HcclAllReduce 1 type 4 operation 0"]
