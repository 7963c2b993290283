"""The CPU backend: what it says of the machine, and what it leaves alone."""

import os
import subprocess
import sys

import pytest
from mf_cpu_backend.cores import core_count

from mf_core import get_backend
from mf_core.backends import load_backend
from mf_core.errors import BackendError, ConfigError


def python(code, cwd=None, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, timeout=120,
        env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_probe_touches_nothing():
    code, out, err = python(
        "import sys; from mf_core.backends import load_backend; p = load_backend('cpu').probe();"
        "print(p.available, p.device_count, sorted(p.details), 'mindspore' in sys.modules)"
    )
    assert (code, err) == (0, "")
    assert out.strip() == "True 1 ['processor', 'threads'] False"


def test_cores_follow_affinity_quota_and_setting(tmp_path, monkeypatch):
    monkeypatch.delenv("MF_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3, 4, 5}, raising=False)
    assert core_count(tmp_path) == 6
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert core_count(tmp_path) == 3
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert core_count(tmp_path) == 6
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert core_count(tmp_path) == 6
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("50000\n")
    assert core_count(tmp_path) == 1
    monkeypatch.setenv("MF_NUM_THREADS", "4")
    assert core_count(tmp_path) == 4


@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_a_wrong_number_of_threads_is_named(value, monkeypatch):
    monkeypatch.setenv("MF_NUM_THREADS", value)
    with pytest.raises(ConfigError, match=f"MF_NUM_THREADS='{value}'"):
        core_count()


def test_one_core_means_one_core():
    """Bound to one core, a process says one thread and computes on."""
    code, out, err = python(
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from mf_core import get_backend, pipeline\n"
        "print(get_backend().describe())\n"
        "print(pipeline('text_generation', 'gpt2_tiny')('One', max_new_tokens=3, seed=1) != [])"
    )
    assert code == 0, err
    assert out.splitlines() == ["cpu, 1 thread, float32", "True"]


def test_an_explicit_device_that_is_not_there_is_an_error():
    code, out, _ = python(
        "from mf_core import get_backend\nfrom mf_core.errors import BackendError\n"
        "try: get_backend('cpu', device_id=3)\nexcept BackendError as e: print(e)"
    )
    assert code == 0
    assert "there is no cpu device 3" in out
    with pytest.raises(BackendError, match="cannot change"):
        get_backend()
        get_backend("ascend")


def test_environment_variables_are_as_before_but_for_the_compilers_folder():
    code, out, err = python(
        "import os; before = dict(os.environ)\n"
        "from mf_core import get_backend; get_backend()\n"
        "import mindspore; after = dict(os.environ)\n"
        "print(sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k)))"
    )
    assert code == 0, err
    assert set(eval(out)) <= {"MS_OM_PATH"} | MINDSPORES_OWN


#: What ``import mindspore`` itself sets.
MINDSPORES_OWN = set(
    eval(
        python(
            "import os; before = dict(os.environ)\nimport mindspore\n"
            "print([k for k in os.environ if os.environ[k] != before.get(k)])"
        )[1]
    )
)


def test_a_failed_compilation_leaves_no_file_behind_in_the_working_directory(tmp_path):
    script = tmp_path / "script.py"  # the compiler reads the source, so it must be in a file
    script.write_text(
        "from mf_core import get_backend; get_backend()\n"
        "import mindspore as ms\n"
        "class Bad(ms.nn.Cell):\n"
        "    @ms.jit\n"
        "    def construct(self, x):\n"
        "        return x + undefined\n"
        "try: Bad()(ms.Tensor([1.0]))\n"
        "except Exception as e: print(type(e).__name__)\n"
    )
    (tmp_path / "work").mkdir()
    (tmp_path / "tmp").mkdir()
    code, out, err = python(
        f"import runpy; runpy.run_path({str(script)!r})", cwd=tmp_path / "work", TMPDIR=str(tmp_path / "tmp")
    )
    assert (code, out.strip()) == (0, "NameError"), err
    assert list((tmp_path / "work").iterdir()) == []
    assert "WARNING" not in err


def test_mindspore_that_has_computed_already_is_taken_as_it_is():
    code, out, err = python(
        "import mindspore as ms; print(ms.ops.ones((2,), ms.float32).sum())\n"
        "from mf_core import pipeline\n"
        "print(pipeline('text_generation', 'gpt2_tiny')('One', max_new_tokens=2, seed=1) != [])"
    )
    assert code == 0, err
    assert out.splitlines() == ["2.0", "True"]


def test_describe_names_device_threads_and_type():
    assert load_backend("CPU").describe().startswith("cpu, ")
