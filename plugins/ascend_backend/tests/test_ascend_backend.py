"""The Ascend backend where there is no Ascend: it says so, and leaves everything to the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(Path("/dev/davinci_manager").exists(), reason="there is an Ascend here")


def python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )
    return done.returncode, done.stdout, done.stderr


def mf(*args):
    return python(f"import sys; from mf_core.cli import main; sys.exit(main({list(args)!r}))")


def test_importing_and_probing_load_nothing_heavy():
    code, out, err = python(
        "import sys, mf_ascend_backend, mf_ascend_backend.plugin\n"
        "print(sorted(name for name in sys.modules if name.startswith('mf_core') or name == 'numpy'))\n"
        "from mf_core.backends import load_backend\n"
        "found = load_backend('ascend').probe()\n"
        "print(found.available, {'mindspore', 'numpy', 'pydantic', 'te', 'hccl'} & set(sys.modules))"
    )
    assert (code, err) == (0, "")
    loaded, probed = out.splitlines()
    assert set(eval(loaded)) <= {"mf_core", "mf_core.errors", "mf_core.hookspecs", "mf_core.pipeline", "mf_core.specs"}
    assert probed == "False set()"


def test_asked_for_by_the_environment_it_says_what_is_missing():
    code, _, err = python("from mf_core import get_backend; get_backend()", MF_BACKEND="ascend")
    assert code == 1
    assert "[MF401] the backend 'ascend' is not available" in err
    assert "why: devices: no /dev/davinci<number>" in err
    assert "mf doctor --backend ascend" in err


def test_with_both_installed_and_no_choice_the_cpu_serves_in_silence():
    code, out, err = python(
        "import logging; logging.basicConfig(level=logging.WARNING)\n"
        "from mf_core import get_backend\n"
        "from mf_core.plugins.registry import registry\n"
        "print(registry.names('backend'), get_backend().name)"
    )
    assert (code, err) == (0, "")
    assert out.strip() == "['ascend', 'cpu'] cpu"


def test_a_rank_table_starts_no_cluster_and_the_error_says_what_does():
    code, _, err = python(
        "from mf_core import init_context; init_context(use_parallel=True)", RANK_TABLE_FILE="ranks.json", RANK_ID="0"
    )
    assert code == 1
    assert "MindSpore takes no RANK_TABLE_FILE any more" in err
    assert "msrun --worker_num=2" in err


def test_doctor_shows_every_piece_of_it_and_fails():
    code, out, err = mf("doctor", "--backend", "ascend", "--json")
    assert (code, err) == (1, "")
    findings = {finding["subject"]: finding for finding in json.loads(out)}
    assert list(findings)[:2] == ["platform", "devices"]
    assert list(findings)[-1] == "backend ascend"
    assert findings["devices"]["level"] == "error"
    assert "--device=/dev/davinci0" in findings["devices"]["hint"]
    assert findings["firmware"]["level"] == "warning"
    assert findings["mindspore"]["level"] == findings["numpy"]["level"] == "ok"
    assert findings["mindspore"]["message"].startswith("2.10.")
    assert {"CANN", "libascendcl.so", "te", "hccl", "permission", "fused kernels"} <= set(findings)


def test_doctor_in_general_only_mentions_it():
    code, out, _ = mf("doctor", "--json")
    assert code == 0
    mentioned = [finding for finding in json.loads(out) if "davinci" in finding["message"]]
    assert [(finding["subject"], finding["level"]) for finding in mentioned] == [("backend ascend", "warning")]
