"""Clusters of real processes for tests: a script, started by ``mf launch``, that trains small models in turn."""

import json
import os
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent
SCRIPT = Path(__file__).with_name("cluster_script.py")
#: What a launcher or a user's shell may have set.
CLUSTER_VARIABLES = ("MS_ROLE", "MS_WORKER_NUM", "MS_SCHED_HOST", "MS_SCHED_PORT", "MS_NODE_ID", "RANK_ID", "RANK_SIZE")


def run_scenarios(folder, workers, scenarios, *, code=0, timeout=600):
    """Run scenarios, one after the other, in a cluster of ``workers`` processes, or alone; return what each gave.

    See ``cluster_script.py`` for what a scenario says. Results are those of the first process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scenarios.json").write_text(json.dumps(scenarios), encoding="utf-8")
    command = [str(BIN / "python"), str(SCRIPT), str(folder)]
    if workers > 1:
        logs = ["--log-dir", str(folder / "logs")]
        command = [str(BIN / "mf"), "launch", "--workers", str(workers), *logs, str(SCRIPT), str(folder)]
    kept = {name: value for name, value in os.environ.items() if name not in (*CLUSTER_VARIABLES, "DEVICE_ID")}
    environment = {**kept, "MF_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    results = folder / "results.json"
    return (json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}), done
