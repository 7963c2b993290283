"""What a trainer saves and loads: checkpoints of a run, and models."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import context
from ...backends.runtime import exclusive
from ...checkpoint.consolidate import whole_tensors
from ...checkpoint.sharded import MODEL_STALE, OPTIMIZER_FILE, Index, is_sharded
from ...checkpoint.shards import WEIGHT_PATTERNS, save_tensors
from ...checkpoint.verify import refuse_damaged
from ...checkpoint.weights import load_tensors_whole
from ...errors import ArgumentError, CheckpointError, FileMissingError, MFError
from ...models.base import PretrainedModel
from ...parallel import Layout
from ...utils.commit import replace_files, shared_staging
from ...utils.files import ADAPTER_FILE, CONFIG_FILE, write_json
from ...utils.locks import RunLock
from ...utils.paths import user_path
from ..adapters import Adapters
from ..arguments import TrainingArguments
from ..rng import RandomState
from ..state import TrainerState
from .coordinator import SaveCoordinator
from .sharded import ShardedCheckpoint
from .state_file import STATE_FILE, CheckpointFile, read_checkpoint, read_run
from .store import CheckpointStore, checkpoints, last_checkpoint
from .tensors import host_copy, load_tensors

if TYPE_CHECKING:
    from ..loader import Loader
    from ..session import Session
    from ..steps.protocol import Step


@dataclass(frozen=True)
class Resumption:
    """A checkpoint to resume from, and its state, which has been validated."""

    path: Path
    content: CheckpointFile


class Checkpointer:
    """Saves and loads a trainer's checkpoints.

    Args:
        model: The model.
        adapters: What of it is trained and saved.
        readers: Saved with the model: its tokenizer, its image processor.
        args: Settings.
    """

    def __init__(
        self, model: PretrainedModel, adapters: Adapters, readers: Sequence[Any], args: TrainingArguments
    ) -> None:
        self._model, self._adapters, self._readers, self._args = model, adapters, readers, args
        self.session: Session | None = None
        #: Runs of this trainer; it may write over their results.
        self._runs: set[str] = set()

    @property
    def directory(self) -> Path:
        """The run's output directory."""
        return user_path(self._args.output_dir)

    # Before a run ---------------------------------------------------------------------------------------------------

    def resumption(self, asked: bool | str | Path | None) -> Resumption | None:
        """Return the checkpoint to resume from; None: the run begins at step 0.

        Args:
            asked: True: the last one in the output directory; a path: that one, or the last one of that run's
                directory; None: the settings decide.

        Raises:
            CheckpointError: There is no checkpoint at the path.
            IntegrityError: The checkpoint's state file is damaged.
        """
        if asked is None:
            asked = self._args.resume_from_checkpoint or self._args.resume_training
        if asked is False:
            return None
        path = self.directory if asked is True else user_path(asked)
        found = last_checkpoint(path)
        if asked is True and found is None:
            warnings.warn(f"{path} has no checkpoint yet: the run begins at step 0", stacklevel=4)
            return None
        path = found or path
        return Resumption(path, read_checkpoint(path))

    def check_output(self, run: str, *, resumes: bool, continues: bool) -> None:
        """Raise for an output directory whose contents the run would overwrite or conflict with.

        Args:
            run: Identifies the run.
            resumes: Whether the run resumes from a checkpoint, or is one of a killed run that had none yet.
            continues: Whether the run begins with the weights of the last checkpoint in the directory.

        Raises:
            ArgumentError: The directory holds a model, or checkpoints, of another run.
        """
        folder, name = self.directory, str(self.directory)
        if context.current().rank_id > 0:
            return  # the first process decides: it may have recorded the run there by now
        if folder.exists() and not folder.is_dir():
            raise ArgumentError(f"output_dir={name!r} is a file", value=name, hint="name a folder")
        if self._adapters.method and (folder / CONFIG_FILE).exists():
            raise ArgumentError(
                f"output_dir={name!r} holds a model, which would be found there instead of the adapter", value=name,
                hint="set output_dir to a folder of the adapter's own",
            )  # fmt: skip
        try:
            known = {run, *self._runs}
            same = read_run(folder).run in known
        except MFError:
            same = False
        if same or resumes or continues or self._args.overwrite_output_dir:
            return
        holds = "a model" if any((folder / n).exists() for n in (CONFIG_FILE, ADAPTER_FILE)) else ""
        holds = holds or ("checkpoints" if checkpoints(folder) else "")
        if holds:
            raise ArgumentError(
                f"output_dir={name!r} holds {holds} of another run", value=name,
                hint="set another output_dir, resume_training=True to continue that run, or "
                "overwrite_output_dir=True to begin a new one there",
            )  # fmt: skip

    def lock(self) -> AbstractContextManager[Any]:
        """Return a block that keeps other runs out of the output directory; the first process of a run needs it."""
        return RunLock(self.directory) if context.current().rank_id == 0 else nullcontext()

    def begin(self, run: str, state: TrainerState) -> CheckpointStore:
        """Record in the output directory which run it is of, and return the store of the run's checkpoints."""
        self._runs.add(run)
        store = CheckpointStore(self.directory, self._args.save_total_limit, run, self.coordinator())
        if self.session is None or self.session.is_first:
            write_json(self.directory / STATE_FILE, {"run": run, "finished": False, **state.to_dict()})
        return store

    def restore(
        self, resumption: Resumption, step: Step, loader: Loader, auto: bool | None
    ) -> tuple[TrainerState, RandomState | None]:
        """Load weights, optimizer and state of a checkpoint; return the state and the random generators'.

        Raises:
            CheckpointError: It is of a run on other data, with another batch size, model or optimizer.
            IntegrityError: The bytes of its weights or optimizer states are not those that were written.
        """
        path, content = resumption.path, resumption.content
        was = content.data.model_dump()
        differing = [
            "its data has other contents" if name == "digest" else f"{name} was {was[name]}, and is {value}"
            for name, value in loader.describe().items() if was[name] != value
        ]  # fmt: skip
        if differing:
            raise CheckpointError(
                f"{path} is of a run over other data: {'; '.join(differing)}", value=str(path),
                hint="resume with the settings and the data that it began with, or pass train_checkpoint to begin a "
                "new run with its weights",
            )  # fmt: skip
        refuse_damaged(path)
        self.load(path, auto)
        states, session = step.state(), self.session
        if session is None or session.sharding.is_whole:
            load_tensors(path, states)
        else:
            index = ShardedCheckpoint(self._model, session.sharding, integrated=True).index(states)
            load_tensors(path, states, index, session.layout)
        step.refresh()
        state = content.state()
        state.max_steps, state.num_train_epochs = loader.max_steps, loader.epochs
        return state, content.random()

    # Writing --------------------------------------------------------------------------------------------------------

    def copy(self, states: Mapping[str, Any] | None) -> Callable[[Path], None]:
        """Copy this process's part of a checkpoint, and return a function that writes it into a folder.

        Args:
            states: The optimizer's, by name; None: the model alone.
        """
        session = self.session
        writes: list[Callable[[Path], Any]] = []
        if session is not None and not session.sharding.is_whole:
            writes.append(ShardedCheckpoint(self._model, session.sharding, integrated=True).copy(states))
        elif session is None or session.is_first:
            weights = self._adapters.copy()
            writes.append(lambda folder: self._adapters.save(folder, weights))
            if states is not None:
                copies = host_copy(states)
                writes.append(lambda folder: save_tensors(folder / OPTIMIZER_FILE, copies))
        if session is None or session.is_first:
            writes.extend(reader.save_pretrained for reader in self._readers)

        def write(folder: Path) -> None:
            for part in writes:
                part(folder)

        return write

    def coordinator(self, *, integrated: bool | None = None) -> SaveCoordinator | None:
        """Return this process's part in writing a checkpoint together; None where it writes alone."""
        session = self.session
        if session is None:
            return None
        whole = self._args.integrated_save if integrated is None else integrated
        sharded = ShardedCheckpoint(self._model, session.sharding, integrated=whole and not session.sharding.is_whole)
        return SaveCoordinator(session.layout.rank, session.layout.size, session.token, sharded.finish)

    def save_model(self, folder: Path, state: Mapping[str, Any] | None = None) -> None:
        """Write the model, or its adapters, and the tokenizer into a folder, in one step.

        Every process of a session calls this.

        Args:
            folder: Made if need be.
            state: For the state file of a run; None: none is written.
        """
        coordinator = self.coordinator(integrated=True)
        if coordinator is None:
            with replace_files(folder) as staging:
                self._adapters.save(staging)
                for reader in self._readers:
                    reader.save_pretrained(staging)
                if state is not None:
                    write_json(staging / STATE_FILE, state)
            return
        key, write = f"{coordinator.token} model", self.copy(None)
        if not coordinator.is_first:
            coordinator.write_part(shared_staging(folder, key), write)
            return
        with replace_files(folder, key=key) as staging:
            write(staging)
            coordinator.wait_for_others(staging)
            coordinator.finish(staging)
            if (staging / CONFIG_FILE).exists():
                with replace_files(staging, (*WEIGHT_PATTERNS, *MODEL_STALE)):
                    pass  # a model takes the place of weights of another, or of adapters
            if state is not None:
                write_json(staging / STATE_FILE, state)

    def finish(self, run: str, state: TrainerState) -> None:
        """Save the result of a run into its output directory."""
        self.save_model(self.directory, {"run": run, "finished": True, **state.to_dict()})

    def write_strategy(self, step: Step) -> None:
        """Write how weights and optimizer states are sharded, into ``output_dir/strategy``."""
        session = self.session
        assert session is not None
        if session.is_first:
            folder = self.directory / "strategy"
            folder.mkdir(parents=True, exist_ok=True)
            ShardedCheckpoint(self._model, session.sharding, integrated=False).index(step.state()).write(folder)
        session.barrier()

    # Loading --------------------------------------------------------------------------------------------------------

    def load(self, name_or_path: str | Path, auto: bool | None) -> None:
        """Load a checkpoint's weights, in either form.

        Args:
            name_or_path: The checkpoint.
            auto: Whether one in the sharded form may be of another layout; None: the settings decide.
        """
        if not is_sharded(name_or_path):
            with exclusive(interruptible=True):
                self._adapters.load(name_or_path)
            return
        path, here = user_path(name_or_path), Layout() if self.session is None else self.session.layout
        layout = Index.read(path).layout
        if layout != here.at(0) and not (self._args.auto_trans_ckpt if auto is None else auto):
            raise CheckpointError(
                f"{path} was written by {layout.size} processes: {_grid(layout)}; there "
                f"{'is' if here.size == 1 else 'are'} {here.size}: {_grid(here)}", value=str(path),
                hint="set auto_trans_ckpt=True, which reads the shards that are needed; or `mf ckpt merge` it",
            )  # fmt: skip
        load_tensors_whole(self._model, whole_tensors(path), str(path))

    def load_best(self, state: TrainerState) -> None:
        """Load the weights of the best evaluation; warn, and keep the last ones, where they cannot be loaded."""
        if state.best_model_checkpoint is None:
            warnings.warn("load_best_model_at_end: no evaluation was the best; the last weights are kept", stacklevel=4)
            return
        best = self.directory / state.best_model_checkpoint
        if not (best / STATE_FILE).is_file():
            warnings.warn(
                f"load_best_model_at_end: the best checkpoint, {best}, is missing; the last weights are kept",
                stacklevel=4,
            )
            return
        try:
            self.load(best, True)
        except (MFError, OSError) as error:
            warnings.warn(
                f"load_best_model_at_end: {best} could not be loaded; the last weights are kept: {error}", stacklevel=4
            )

    def find(self, asked: bool | str | Path | None) -> Path | str:
        """Return the checkpoint that True (the last one in the output directory), a path or a name means."""
        if asked is not True:
            return asked  # type: ignore[return-value]
        found = last_checkpoint(self.directory)
        try:
            run = read_run(self.directory)
            step = int(found.name.rpartition("-")[2]) if found else 0
            if run.finished and run.global_step >= step:
                return self.directory
        except MFError:
            pass
        if found is None:
            raise FileMissingError(
                f"there is no checkpoint in {str(self.directory)!r}", value=str(self.directory),
                hint="train first, or give the checkpoint's path",
            )  # fmt: skip
        return found


def _grid(layout: Layout) -> str:
    names = {"data": "data_parallel", "tensor": "model_parallel", "pipeline": "pipeline_stage",
             "expert": "expert_parallel"}  # fmt: skip
    return ", ".join(f"{name}={getattr(layout, axis)}" for axis, name in names.items())
