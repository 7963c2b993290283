"""Saves that are killed, or stopped, at chosen system calls: what is left is the old files or the new ones.

``python -m tests.support.killed_saves FOLDER SAVES STOPS`` prints the counts as JSON. A save is of a model, a tokenizer
or an adapter over another one of its kind, or of a run's next checkpoint.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mf_core import AutoTokenizer, LoraConfig, add_lora, save_adapter
from mf_core.checkpoint.safetensors_reader import weights_of_folder
from mf_core.checkpoint.verify import check_files
from mf_core.errors import CheckpointError
from mf_core.trainer.checkpoints.store import CheckpointStore, checkpoints
from mf_core.utils import locks
from mf_core.utils.commit import finish, is_staging

from .strace import STEPS, WRITES, fork, go_on, inject, pause, runs_until_stopped, wait
from .training import small_model, weights_of

Save = Callable[[Path], None]
_RUN = 32 * "a"


def saves() -> dict[str, tuple[Save, Save]]:
    """Return, for each kind, a save of the old and one of the new; none of them computes anything."""
    kinds: dict[str, tuple[Save, Save]] = {}
    models = [small_model(hidden_size=16, num_layers=layers) for layers in (2, 1)]
    weights = [{name: array * 0 + number for name, array in weights_of(model).items()}
               for number, model in enumerate(models, 1)]  # fmt: skip
    kinds["model"] = (
        lambda folder: models[0].save_pretrained(folder, weights=weights[0], shard_size=8000),
        lambda folder: models[1].save_pretrained(folder, weights=weights[1]),
    )
    tokenizers = [AutoTokenizer.from_pretrained("gpt2_tiny", pad_token=token, chat_template=template)
                  for token, template in (("<|endoftext|>", "{{ 1 }}"), ("a", None))]  # fmt: skip
    kinds["tokenizer"] = (tokenizers[0].save_pretrained, tokenizers[1].save_pretrained)
    adapted = []
    for rank in (2, 4):
        model = small_model(hidden_size=16, num_layers=1)
        add_lora(model, LoraConfig(r=rank, target_modules=("c_attn",)))
        adapted.append((model, weights_of(model)))
    kinds["adapter"] = (
        lambda folder: save_adapter(adapted[0][0], folder, weights=adapted[0][1]),
        lambda folder: save_adapter(adapted[1][0], folder, weights=adapted[1][1]),
    )
    return kinds


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder that its readers look at."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name[0] != "."}


class Kind:
    """Saves of one kind over an older one, in children that are killed or stopped.

    Args:
        root: An empty folder.
        old: Makes the save that is there before.
        new: Makes the one that is interrupted.
    """

    def __init__(self, root: Path, old: Save, new: Save) -> None:
        self.folder, self._save_old, self._save_new = root / "folder", old, new
        self.tally: Counter[str] = Counter()
        old(root / "old")
        new(root / "new")
        self.old, self.new = contents(root / "old"), contents(root / "new")

    def child(self) -> int:
        """Fork a process that waits for strace, and then saves over the old files."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._save_old(self.folder)
        return fork(lambda: (pause(), self._save_new(self.folder)))

    def kill(self, call: str, number: int) -> bool:
        """Kill a save at a call; return False where it came to its end before."""
        child = self.child()
        code = wait(child, inject(child, call, number))
        assert code in (0, -signal.SIGKILL), code
        if code == 0:
            assert contents(self.folder) == self.new
            return False
        self.check_foreign()
        self.tally[f"killed: {self.state()}"] += 1
        return True

    def stop(self, call: str, number: int) -> None:
        """Stop a save at a call, read, and let it go on."""
        child = self.child()
        tracer = inject(child, call, number, "SIGSTOP")
        if runs_until_stopped(child):
            self.check_foreign()
            try:
                self.tally[f"stopped: {self.state()}"] += 1
            except CheckpointError as error:
                assert str(child) in str(error.why), error  # names the process that has the lock
                self.tally["stopped: an error that names the process"] += 1
            go_on(child)
        else:
            self.tally["stopped: not reached"] += 1
        assert wait(child, tracer) == 0
        assert self.state() == "new"

    def check_foreign(self) -> None:
        """Check what a program sees that knows nothing of journals: a configuration that it finds fits the rest."""
        found = contents(self.folder)
        for key in ("config.json", "adapter_config.json"):
            if key in found:
                side = self.old if found[key] == self.old[key] else self.new
                assert {name: data for name, data in found.items() if name in side} == side

    def state(self) -> str:
        """Return which files a reader of the library finds, ``"old"`` or ``"new"``; fail where it is anything else."""
        finish(self.folder)
        found = contents(self.folder)
        assert found in (self.old, self.new), sorted(found)
        if "config.json" in found:
            weights_of_folder(self.folder)
            assert {check.status for check in check_files(self.folder)} == {"whole"}
        return "old" if found == self.old else "new"


class Checkpoints:
    """A run's store with the checkpoints 1 and 2, of which it keeps two: the next is 3, or takes the place of 2."""

    def __init__(self, root: Path) -> None:
        self.folder, self.tally = root, Counter[str]()

    def _save(self, step: int, content: str) -> None:
        store = CheckpointStore(self.folder, 2, _RUN)
        store.save(step, lambda folder: [(folder / name).write_text(content) for name in "ab"], {"content": content})
        store.wait()

    def kill(self, step: int, call: str, number: int) -> bool:
        """Kill the writing of checkpoint ``step`` at a call; return False where it came to its end before."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for old in (1, 2):
            self._save(old, f"old {old}")
        child = fork(lambda: (pause(), self._save(step, f"new {step}")))
        code = wait(child, inject(child, call, number))
        assert code in (0, -signal.SIGKILL), code
        names = [path.name for path in checkpoints(self.folder)]
        found = {path.name: {(path / name).read_text() for name in "ab"} for path in checkpoints(self.folder)}
        assert all(len(texts) == 1 for texts in found.values()), found
        new = found[names[-1]] == {f"new {step}"}
        kept = ["checkpoint-2", "checkpoint-3"] if new and step == 3 else ["checkpoint-1", "checkpoint-2"]
        assert names == kept, names
        assert new or found[names[-1]] == {"old 2"}
        CheckpointStore(self.folder, 2, _RUN)  # clears what the killed process has left
        left = [path for path in sorted(self.folder.iterdir()) if path.name not in kept]
        assert not [path for path in left if not is_staging(path.name) or any(path.iterdir())], left
        if code:
            self.tally["killed: new" if new else "killed: old"] += 1
        return code != 0


def run_checkpoints(root: Path, kills: int, seed: int = 1) -> dict[str, int]:
    """Kill so many writings of checkpoints."""
    store, draw, done = Checkpoints(root), random.Random(seed), 0
    for step in (3, 2):
        for call in STEPS:
            number = 1
            while done < kills * (4 - step) // 2 and store.kill(step, call, number):
                number, done = number + 1, done + 1
    while done < kills:
        done += store.kill(draw.choice((2, 3)), draw.choice(WRITES), draw.randint(1, 30))
    return dict(store.tally)


def run(root: Path, kills: int, stops: int, seed: int = 1) -> dict[str, dict[str, int]]:
    """Kill and stop so many saves of each kind; return the counts by kind and state."""
    draw, counts = random.Random(seed), {"checkpoint": run_checkpoints(root / "checkpoints", kills)}
    for name, (old, new) in saves().items():
        kind = Kind(root / name, old, new)
        done = 0
        for call in STEPS:  # at its first call, its second, and so on
            number = 1
            while done < kills and kind.kill(call, number):
                number, done = number + 1, done + 1
        while done < kills:  # opening and writing, at random calls
            done += kind.kill(draw.choice(WRITES), draw.randint(1, 40))
        locks._PATIENCE = locks._LONGEST_STEP = 0.3  # a stopped process keeps its lock
        for _ in range(stops):
            kind.stop(draw.choice(STEPS[:2]), draw.randint(1, 8))
        locks._PATIENCE, locks._LONGEST_STEP = 5.0, 120.0
        counts[name] = dict(sorted(kind.tally.items()))
    return counts


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
