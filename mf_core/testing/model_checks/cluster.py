"""Two processes that share a model compute what one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..processes import sharded_gradients
from ..processes.sharded_gradients import joined, one_process, write_step
from .model_under_test import ModelSubject

#: The command ``mf``, of the environment that the checks run in.
_LAUNCH = "import sys; from mf_core.cli import main; sys.exit(main(sys.argv[1:]))"

#: Seconds that the processes have.
_PATIENCE = 900


class ShardedModelContract(ModelSubject):
    """Each gradient of a step that two processes compute, each with its part of the weights, is that of one process.

    It starts a cluster of two processes, which takes a minute or so: mark the class as your slow tests are.

    Attributes:
        modes: Name -> settings of :class:`mf_core.parallel.ParallelConfig` that split the weights over two processes.
        apart: How far a gradient may be from that of one process, as a part of its norm.
    """

    modes: ClassVar[dict[str, dict[str, Any]]] = {
        "model_parallel": {"model_parallel": 2},
        "use_seq_parallel": {"model_parallel": 2, "use_seq_parallel": True},
        "vocab_emb_dp": {"model_parallel": 2, "vocab_emb_dp": False},
    }
    apart: ClassVar[float] = 1e-3

    def test_two_processes_have_the_gradients_of_one(self) -> None:
        """A parameter that each process holds whole and uses for its own heads needs the sum of their gradients."""
        self.need_causal_lm()
        plan = self.model.parallel_plan
        if plan is None or not plan.columns:
            self.skip("the model's plan splits no linears")
        fields = dict(self.config)
        weights = {name: p.float().asnumpy() for name, p in self.model.parameters_and_names()}
        length = self.length // 2 * 2
        with tempfile.TemporaryDirectory(prefix="mf-check-") as name:
            folder = Path(name)
            write_step(folder, self.spec.target, fields, weights, self.ids(2, length + 1))
            (folder / "parallel.json").write_text(json.dumps(self.modes), encoding="utf-8")
            self._launch(folder)
            wanted = one_process(folder)
            for mode, settings in self.modes.items():
                found = joined(folder / mode, self.spec.target, fields, **settings)
                for parameter, gradient in wanted.items():
                    apart = np.linalg.norm(found[parameter] - gradient) / max(float(np.linalg.norm(gradient)), 1e-12)
                    self.expect(
                        apart <= self.apart,
                        f"with {mode}, the gradient of {parameter} is {apart:.1%} away from that of one process",
                        "name it in the plan's `partial` if each process uses it for its own part of a layer, or let "
                        "a linear with role='row' sum what the processes computed",
                    )  # fmt: skip

    def _launch(self, folder: Path) -> None:
        """Run the step in two processes."""
        command = [sys.executable, "-c", _LAUNCH, "launch", "--workers", "2", "--log-dir", str(folder / "logs")]
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, "PYTHONPATH": paths, "MF_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, sharded_gradients.__file__, str(folder)], env=environment, cwd=folder, capture_output=True,
            text=True, timeout=_PATIENCE, check=False,
        )  # fmt: skip
        self.expect(done.returncode == 0, f"two processes failed: {done.stderr.strip()[-2000:]}")
