"""The trainer: what users call."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mindspore as ms

from .. import context
from ..auto import AutoConfig, AutoModel, AutoTokenizer, model_of
from ..backends.base import get_backend, load_class
from ..backends.runtime import exclusive
from ..boundary import public
from ..checkpoint.consolidate import whole_tensors
from ..checkpoint.locate import Checkpoint, locate
from ..checkpoint.sharded import MODEL_STALE, OPTIMIZER_FILE, Index, is_sharded
from ..checkpoint.shards import WEIGHT_PATTERNS, save_tensors
from ..checkpoint.weights import load_tensors_whole
from ..data import is_dataset
from ..errors import ArgumentError, ArgumentTypeError, CheckpointError, FileMissingError, UnsupportedError
from ..models.base import PretrainedModel
from ..optim.optimizers import make_optimizer
from ..parallel import Layout, ParallelConfig, RecomputeConfig
from ..parallel.shard_model import spread
from ..plugins.registry import Entry, load_target, registry
from ..tokenization.base import PretrainedTokenizer
from ..tokenization.resolve import tokenizer_of
from ..utils.commit import replace_files
from ..utils.files import CONFIG_FILE, write_json
from ..utils.paths import user_path
from ..utils.seed import set_seed
from ..utils.settings import dump_yaml
from .adapters import Adapters
from .arguments import TrainingArguments
from .callbacks import CallbackList, as_list
from .checkpoints.coordinator import SaveCoordinator
from .checkpoints.sharded import ShardedCheckpoint
from .checkpoints.store import (
    STATE_FILE,
    CheckpointStore,
    checkpoints,
    host_copy,
    last_checkpoint,
    load_tensors,
    read_state,
)
from .evaluation import Evaluator, Metrics
from .loader import Loader
from .loop import Parts, TrainingLoop, TrainResult
from .recipe import TrainingRecipe
from .reporting.loggers import Recorder
from .reporting.profiling import Profile
from .reporting.progress import Progress
from .rng import state_from_json
from .session import Session
from .state import TrainerControl, TrainerState
from .steps.cluster_step import ClusterStep
from .steps.custom_step import CustomStep
from .steps.grad_reducer import GradReducer
from .steps.pipeline import PipelineStep
from .steps.precision import Precision
from .steps.train_step import TrainStep

#: A run as ``mf train`` reads it: the trainer's own arguments and the training arguments, side by side.
RUN_FILE = "run.yaml"


class Trainer:
    """Trains, evaluates and uses a model on a task that a plugin brings.

    Args:
        args: Settings; None: all defaults.
        task: The task whose recipe (collation, loss, metrics) is used, such as ``"text_generation"``.
        model: A preset, directory or hub repository, whose weights are loaded; a model object; or a configuration as a
            mapping with ``model_type``, for random weights.
        model_name: The checkpoint whose tokenizer goes with a model object, when ``tokenizer`` is not given.
        train_dataset, eval_dataset: What the task's recipe takes; for text generation see
            :class:`mf_core.tasks.causal_lm.CausalLMRecipe`.
        tokenizer: The tokenizer, or a checkpoint's name; None: the model's own, when the model is given by name.
        image_processor, audio_processor: For tasks that take images or sound.
        optimizers: A ``mindspore.nn`` optimizer over the model's parameters, in place of ``args.optim`` and its rate.
        wrapper: Makes the cell that takes a step from the network and the optimizer, as ``nn.TrainOneStepCell`` does.
        pet_method: ``"lora"`` trains adapters beside the weights, which stay as they are; or a
            :class:`mf_core.LoraConfig`.
        callbacks: One or several :class:`mf_core.Callback`, or MindSpore's.
        eval_callbacks: Those that evaluations call.
        compute_metrics: Further metrics, from an :class:`EvalPrediction` to a dict of numbers.
        save_config: Write ``run.yaml`` into ``output_dir``: what the run really used, as ``mf train --config`` takes
            it.

    Attributes:
        model, tokenizer, recipe, args: What it works with.
        state: Where the last training stands; a :class:`mf_core.TrainerState`.

    Raises:
        NotRegisteredError: No plugin has the task, or the model.
        UnsupportedError: The task cannot be trained.
    """

    @public
    def __init__(
        self,
        args: TrainingArguments | None = None,
        task: str = "general",
        model: str | Path | PretrainedModel | Mapping[str, Any] | None = None,
        model_name: str | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        tokenizer: str | PretrainedTokenizer | None = None,
        image_processor: Any = None,
        audio_processor: Any = None,
        optimizers: Any = None,
        wrapper: Callable[..., Any] | None = None,
        pet_method: Any = "",
        callbacks: Any = None,
        eval_callbacks: Any = None,
        compute_metrics: Metrics | None = None,
        save_config: bool = False,
    ) -> None:
        if args is not None and not isinstance(args, TrainingArguments):
            raise ArgumentTypeError(
                f"args is a TrainingArguments, not {type(args).__name__}", value=args,
                hint="TrainingArguments.from_file(path) reads one from YAML or JSON; `mf train --config FILE` reads a "
                "whole run, MindFormers' run files included",
            )  # fmt: skip
        self.args = args or TrainingArguments()
        self.task = task
        self._entry = registry.find("task", task)
        get_backend()  # first: loading the recipe imports MindSpore as the backend requires
        recipe_class = _recipe_class(self._entry, task)
        named = model if isinstance(model, (str, Path)) else model_name
        checkpoint = locate(named) if named else None
        self.model = _model(model, checkpoint, recipe_class.head)
        self._precision = Precision(self.model, self.args.dtype)
        self._adapters = Adapters(self.model, pet_method, self.args)
        if isinstance(tokenizer, (str, Path)):
            tokenizer = AutoTokenizer.from_pretrained(tokenizer)
        self.tokenizer = tokenizer or (tokenizer_of(checkpoint) if checkpoint is not None else None)
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        given = {"image_processor": image_processor, "audio_processor": audio_processor}
        self._processors = {name: value for name, value in given.items() if value is not None}
        self.recipe = recipe_class(self.model, self.tokenizer, self.args, **self._processors)
        self._optimizer, self._wrapper = optimizers, wrapper
        self._callbacks, self._eval_callbacks = as_list(callbacks), as_list(eval_callbacks)
        self._evaluator = Evaluator(self.model, self.recipe, self.args, compute_metrics)
        self.state = TrainerState()
        self.parallel_config: ParallelConfig | None = None
        self._cluster: Session | None = None
        self.recompute_config = RecomputeConfig()
        if self.args.recompute:
            self.set_recompute_config(recompute=True)
        self._run = {"task": task, "model": _describe(model, self.model), "model_name": model_name,
                     "train_dataset": _describe(train_dataset), "eval_dataset": _describe(eval_dataset),
                     "pet_method": self._adapters.method}  # fmt: skip
        self._save_config = save_config

    @property
    def output_dir(self) -> Path:
        """Where the run writes."""
        return user_path(self.args.output_dir)

    # Settings of parallelism and recomputation ----------------------------------------------------------------------

    @public
    def set_parallel_config(self, **settings: Any) -> None:
        """Set how the model is spread over devices; see :class:`mf_core.parallel.ParallelConfig`.

        The weights stay as they are; the first training or evaluation spreads them. Where nothing is set, each device
        has a copy of the model (``data_parallel``).

        Raises:
            ArgumentError: A setting is unknown, or does not go with the model or the number of devices.
        """
        config = ParallelConfig(**settings)
        if self.model.spread is not None and config != self.model.spread.config:
            raise ArgumentError(
                "the model is spread over the devices already", value=settings,
                why="it was trained or evaluated", hint="call set_parallel_config before that",
            )  # fmt: skip
        config.check(self.model, context.current().device_num)
        self.parallel_config = config

    @public
    def set_recompute_config(self, **settings: Any) -> None:
        """Set which activations are computed anew; see :class:`mf_core.parallel.RecomputeConfig`.

        The model and its weights stay as they are.

        Raises:
            ArgumentError: A setting is unknown.
            UnsupportedError: The model does not say what its layers are.
        """
        config = RecomputeConfig(**settings)
        config.check(self.model)
        self.recompute_config = config

    # What users call --------------------------------------------------------------------------------------------------

    @public
    def train(
        self,
        train_checkpoint: bool | str | Path = False,
        resume_training: bool | str | Path | None = None,
        auto_trans_ckpt: bool | None = None,
        do_eval: bool = False,
    ) -> TrainResult:
        """Train, and save model and tokenizer to ``args.output_dir``.

        Seeds Python's, numpy's and MindSpore's global generators with ``args.seed``.

        Args:
            train_checkpoint: Begin with the weights of this checkpoint; True: the last one in ``output_dir``.
            resume_training: Go on from the last checkpoint in ``output_dir``, or from this one, as if the run had not
                stopped. Where ``output_dir`` has none yet, the run begins, with a warning. None: ``args`` decides.
            auto_trans_ckpt: Take a checkpoint that was written on another number of devices; None: ``args`` decides.
            do_eval: Evaluate after each epoch, as ``args.do_eval`` does.

        Raises:
            DataError: There is no data, or a record has the wrong form.
            TrainingError: The loss is not a number any more.
            CheckpointError: A checkpoint cannot be written, or is of another run.
            OutOfMemoryError: A step does not fit into memory.
            SystemExit: After a SIGTERM, when a checkpoint has been written.
            UnsupportedError: The model's weights are held in fewer bits.
        """
        args = self.args
        if self.model.weight_dtype is not None:
            raise UnsupportedError(
                f"a model whose weights are held in {self.model.weight_dtype} cannot be trained",
                value=self.model.weight_dtype, hint="load it without weight_dtype",
            )
        if do_eval and args.eval_every == (None, None):
            args = args.model_copy(update={"do_eval": True})
        self._check_supported(args)
        cluster = self._spread()
        resume = self._resume_from(resume_training)
        if resume is None and train_checkpoint is not False:
            self._load(self._checkpoint(train_checkpoint), auto_trans_ckpt)
        set_seed(args.seed)
        layout = Layout() if cluster is None else cluster.layout
        with self._first_prepares():
            loader = Loader(self.recipe, self.train_dataset, args, layout.data_rank, layout.data)
        self.recompute_config.apply(self.model)
        with self._precision.masters():
            with exclusive(interruptible=True):
                step, rate_now = self._step(args)
            state = TrainerState(max_steps=loader.max_steps, num_train_epochs=loader.epochs)
            random, own = None, list[str]()
            if resume is not None:
                state, random, own = self._restore(resume, step, loader, auto_trans_ckpt)
            elif checkpoints(self.output_dir) and layout.rank == 0:
                warnings.warn(
                    f"{self.output_dir} holds checkpoints of an earlier run; resume_training=True goes on from them",
                    stacklevel=2,
                )
            self.state = state
            if args.only_save_strategy and cluster is not None:
                return self._save_strategy(cluster, step)
            store = CheckpointStore(self.output_dir, args.save_total_limit, own, self._together())
            parts = self._parts(args, loader, step, store, rate_now)
            self.model.set_train(True)
            shown: list[Any] = []
            if layout.rank == 0:
                if self._save_config:
                    self.save_config()
                shown = [Progress(), Recorder(self.output_dir, args)]
                if args.profile:
                    shown.append(Profile(self.output_dir / "profile"))
            users = {"model": self.model, "tokenizer": self.tokenizer, "trainer": self}
            try:
                loop = TrainingLoop(
                    parts, args, state, CallbackList([*shown, *self._callbacks], **users),
                    CallbackList(self._eval_callbacks, **users), random,
                )  # fmt: skip
                result = loop.run()
            finally:
                for callback in shown:
                    callback.close()
                self.model.set_train(False)
            if args.load_best_model_at_end and state.best_model_checkpoint:
                self._load(self.output_dir / state.best_model_checkpoint, True)
        self._save(self.output_dir, state)
        if cluster is not None:
            cluster.barrier()
        return result

    @public
    def finetune(
        self,
        finetune_checkpoint: bool | str | Path = False,
        resume_training: bool | str | Path | None = None,
        auto_trans_ckpt: bool | None = None,
        do_eval: bool = False,
    ) -> TrainResult:
        """Train from a checkpoint's weights; see :meth:`train`.

        Args:
            finetune_checkpoint: Begin with the weights of this checkpoint; True: the last one in ``output_dir``; False:
                with the model's own.
            resume_training, auto_trans_ckpt, do_eval: As for ``train``.
        """
        return self.train(finetune_checkpoint, resume_training, auto_trans_ckpt, do_eval)

    @public
    def evaluate(self, eval_checkpoint: bool | str | Path = False) -> dict[str, float]:
        """Return what the ``eval_dataset`` gives: ``loss``, ``perplexity`` where the task has one, ``tokens``, …

        Args:
            eval_checkpoint: Load this checkpoint's weights first; True: the last one in ``output_dir``.

        Raises:
            DataError: There is no ``eval_dataset``, or a record has the wrong form.
        """
        cluster = self._spread()
        if eval_checkpoint is not False:
            self._load(self._checkpoint(eval_checkpoint), None)
        return self._evaluator.run(self.eval_dataset, cluster)

    @public
    def predict(
        self,
        predict_checkpoint: bool | str | Path | None = None,
        input_data: Any = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> Any:
        """Return what the task's pipeline makes of ``input_data``.

        Args:
            predict_checkpoint: Load this checkpoint's weights first; True: the last one in ``output_dir``.
            input_data: What the pipeline takes; for text generation a prompt or a list of them.
            batch_size: How many go through the model together.
            **options: The pipeline's, such as ``max_length``.
        """
        if input_data is None:
            raise ArgumentTypeError("predict has no input_data", hint="pass predict(input_data=…)")
        cluster = self._spread()
        if cluster is not None and cluster.layout.size != cluster.layout.data:
            raise UnsupportedError(
                "predict needs whole weights in each process", value=cluster.spread.config.to_dict(),
                why="model_parallel, pipeline_stage and expert_parallel split them",
                hint="save the model, and predict in a process by itself",
            )  # fmt: skip
        if predict_checkpoint not in (None, False):
            self._load(self._checkpoint(predict_checkpoint), None)
        if batch_size is not None:
            options["batch_size"] = batch_size
        pipeline = load_class(self._entry)(self.model, self.tokenizer, **self._processors)
        result = pipeline(input_data, **options)
        callbacks = CallbackList(self._callbacks, model=self.model, tokenizer=self.tokenizer, trainer=self)
        callbacks.call("on_predict", self.args, self.state, TrainerControl(), predictions=result)
        return result

    @public
    def save_pretrained(self, directory: str | Path) -> None:
        """Write the model, or its adapters, and the tokenizer into ``directory``.

        In a cluster, every process calls this, and the first one writes; the weights are whole.
        """
        self._save(user_path(directory))

    def _save(self, folder: Path, state: TrainerState | None = None) -> None:
        """Write model, tokenizer and, where it is given, the state of the run into a folder, in one step."""
        together = self._together(integrated=True)
        if together is None:
            with replace_files(folder) as staging:
                self._adapters.save(staging)
                if self.tokenizer is not None:
                    self.tokenizer.save_pretrained(staging)
                if state is not None:
                    write_json(staging / STATE_FILE, state.to_dict())
            return
        aside = folder / f".model.{together.token}"
        write = self._copy_tensors(None)
        if not together.is_first:
            together.write_part(aside, write)
            return
        aside.mkdir(parents=True, exist_ok=True)
        try:
            write(aside)
            together.wait_for_others(aside)
            together.finish(aside)
            stale = (*WEIGHT_PATTERNS, *MODEL_STALE) if (aside / CONFIG_FILE).exists() else ()
            with replace_files(folder, stale) as staging:
                for path in aside.iterdir():
                    path.replace(staging / path.name)
                if state is not None:
                    write_json(staging / STATE_FILE, state.to_dict())
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    @public
    def save_config(self) -> Path:
        """Write ``run.yaml``, as ``mf train --config`` takes it, into ``output_dir``; return its path."""
        from ..utils.files import write_text

        path = self.output_dir / RUN_FILE
        parallel = {} if self.parallel_config is None else self.parallel_config.model_dump(exclude_defaults=True)
        run = {name: value for name, value in {**self._run, "parallel": parallel}.items() if value}
        write_text(path, dump_yaml({**run, **self.args.model_dump(mode="json")}))
        return path

    # How they do it ---------------------------------------------------------------------------------------------------

    def _check_supported(self, args: TrainingArguments) -> None:
        if args.sink_mode:
            warnings.warn("sink_mode: data is not sunk on this device; training runs step by step", stacklevel=3)
        if args.use_parallel and context.current().device_num == 1:
            raise UnsupportedError(
                "use_parallel=True, and there is one device", value=True,
                hint="start several processes with `mf launch` and call init_context(use_parallel=True) first",
            )  # fmt: skip
        if args.only_save_strategy and context.current().device_num == 1:
            raise UnsupportedError(
                "only_save_strategy=True, and there is one device, over which nothing is split", value=True,
                hint="leave only_save_strategy out",
            )  # fmt: skip

    def _spread(self) -> Session | None:
        """Spread the model over the processes that there are; return them, or None where this one is alone."""
        here = context.current()
        if here.device_num == 1 or self._cluster is not None:
            return self._cluster
        config = self.parallel_config or ParallelConfig(
            data_parallel=here.device_num, optimizer_shard=bool(here.parallel.enable_parallel_optimizer)
        )
        config.check(self.model, here.device_num)
        self._check_parallel(config)
        self.parallel_config = config
        if context.leave_compiler():
            warnings.warn(
                f"the Trainer splits the model by its plan; MindSpore's {here.parallel.parallel_mode} compiler is "
                "left out from now on", stacklevel=4,
            )  # fmt: skip
        self._cluster = Session(self.model.spread or spread(self.model, config, here.rank_id))
        return self._cluster

    def _check_parallel(self, config: ParallelConfig) -> None:
        """Raise UnsupportedError for what does not go together with the parallelism that is asked for."""
        splits = config.model_parallel > 1 or config.pipeline_stage > 1 or config.expert_parallel > 1
        for given, fault, remedy in (
            (self._wrapper is not None, "a wrapper takes its steps in one process", "leave wrapper out"),
            (self._optimizer is not None and (splits or config.optimizer_shard),
             "an optimizer of one's own goes with data_parallel alone", "use args.optim"),
            (self.args.optim == "adafactor" and (splits or config.optimizer_shard),
             "adafactor's factors are of whole weights", "use optim='adamw', or data_parallel alone"),
            (bool(self._adapters.method) and (splits or config.optimizer_shard),
             "LoRA adapters are trained with data_parallel alone", "leave the other settings at their defaults"),
        ):  # fmt: skip
            if given:
                raise UnsupportedError(fault, value=config.to_dict(), hint=remedy)
        again = self.recompute_config
        for name, set_so, says in (
            ("micro_batch_interleave_num", config.micro_batch_interleave_num > 1, "nothing overlaps here"),
            ("mp_comm_recompute", not again.mp_comm_recompute, "what is computed anew is also sent anew"),
            ("recompute_slice_activation", again.recompute_slice_activation, "use_seq_parallel splits activations"),
            ("parallel_optimizer_comm_recompute", again.parallel_optimizer_comm_recompute, "weights are whole here"),
        ):
            if set_so:
                warnings.warn(f"{name} has no effect: {says}", stacklevel=5)
        if config.pipeline_stage > 1:
            self.recipe.stage()
        rows = self.args.per_device_train_batch_size
        if rows % config.micro_batch_num and not is_dataset(self.train_dataset):
            raise ArgumentError(
                f"per_device_train_batch_size={rows} cannot be split into micro_batch_num={config.micro_batch_num} "
                "parts", value=rows, hint=f"set it to a multiple of {config.micro_batch_num}",
            )  # fmt: skip

    @contextmanager
    def _first_prepares(self) -> Iterator[None]:
        """Let the first process of a cluster prepare data, which the others then find ready."""
        if self._cluster is not None and not self._cluster.is_first:
            self._cluster.barrier()
        yield
        if self._cluster is not None and self._cluster.is_first:
            self._cluster.barrier()

    def _step(self, args: TrainingArguments) -> tuple[Any, Callable[[], float] | None]:
        """Return what takes steps, and what tells the learning rate where it is not the schedule."""
        given = self._optimizer
        if self._wrapper is not None:
            return CustomStep(self.recipe.network(), given, self._wrapper, args), _rate_of(given)
        scaled = self._precision.compute_dtype == "float16"
        if self._cluster is None:
            optimizer = make_optimizer(self.model.trainable_params(), args, given)
            return TrainStep(self.recipe.network(), optimizer, args, scaled=scaled), _rate_of(given)
        weights = {name: p for name, p in self.model.parameters_and_names() if p.requires_grad}
        reducer = GradReducer(self._cluster.spread, weights)
        optimizer = make_optimizer(reducer.trained, args, given, decays=reducer.decays)
        step: Any
        if self._cluster.layout.pipeline > 1:
            step = PipelineStep(self.recipe, optimizer, args, scaled=scaled, reducer=reducer)
        else:
            step = ClusterStep(self.recipe.network(), optimizer, args, scaled=scaled, reducer=reducer)
        return step, _rate_of(given)

    def _parts(
        self, args: TrainingArguments, loader: Loader, step: Any, store: CheckpointStore, rate_now: Any
    ) -> Parts:
        backend, model = get_backend(), self.model
        return Parts(
            model=model,
            loader=loader,
            step=step,
            evaluate=lambda: self._evaluator.run(self.eval_dataset, self._cluster),
            copy_tensors=lambda: self._copy_tensors(step.state()),
            store=store,
            tokens_of=self.recipe.tokens,
            flops_per_token=model.flops_per_token,
            peak_flops=lambda: backend.peak_flops(model.compute_dtype),
            memory_used=backend.memory_used,
            rate_now=rate_now,
            **({} if self._cluster is None else {"agree": self._cluster.agree}),
        )

    def _copy_tensors(self, states: Mapping[str, Any] | None) -> Callable[[Path], None]:
        """Copy what a checkpoint holds, of this process, and return what writes it into a folder.

        Args:
            states: The optimizer's, by name; None: the model alone.
        """
        cluster = self._cluster
        writes: list[Callable[[Path], Any]] = []
        if cluster is not None and not cluster.spread.is_whole:
            writes.append(ShardedCheckpoint(self.model, cluster.spread, integrated=True).copy(states))
        elif cluster is None or cluster.is_first:
            weights = self._adapters.copy()
            writes.append(lambda folder: self._adapters.save(folder, weights))
            if states is not None:
                copies = host_copy(states)
                writes.append(lambda folder: save_tensors(folder / OPTIMIZER_FILE, copies))
        if self.tokenizer is not None and (cluster is None or cluster.is_first):
            writes.append(self.tokenizer.save_pretrained)

        def write(folder: Path) -> None:
            for part in writes:
                part(folder)

        return write

    def _together(self, *, integrated: bool | None = None) -> SaveCoordinator | None:
        """Return this process's part in writing checkpoints; None where it writes alone."""
        cluster = self._cluster
        if cluster is None:
            return None
        whole = self.args.integrated_save if integrated is None else integrated
        shared = ShardedCheckpoint(self.model, cluster.spread, integrated=whole and not cluster.spread.is_whole)
        return SaveCoordinator(cluster.layout.rank, cluster.layout.size, cluster.token, shared.finish)

    def _save_strategy(self, cluster: Session, step: Any) -> TrainResult:
        """Write how weights and states are split, and train nothing."""
        if cluster.is_first:
            folder = self.output_dir / "strategy"
            folder.mkdir(parents=True, exist_ok=True)
            ShardedCheckpoint(self.model, cluster.spread, integrated=False).index(step.state()).write(folder)
        cluster.barrier()
        return TrainResult(0, float("nan"), {}, 0, 0.0)

    def _load(self, name_or_path: str | Path, auto: bool | None) -> None:
        """Put a checkpoint's weights, in either form, into the model.

        Args:
            name_or_path: The checkpoint.
            auto: Whether one in the sharded form may be of another layout; None: ``args`` decides.
        """
        if not is_sharded(name_or_path):
            with exclusive(interruptible=True):
                self._adapters.load(name_or_path)
            return
        path, here = user_path(name_or_path), Layout() if self._cluster is None else self._cluster.layout
        layout = Index.read(path).layout
        if layout != here.at(0) and not (self.args.auto_trans_ckpt if auto is None else auto):
            raise CheckpointError(
                f"{path} was written by {layout.size} processes: {_grid(layout)}; there "
                f"{'is' if here.size == 1 else 'are'} {here.size}: {_grid(here)}", value=str(path),
                hint="set auto_trans_ckpt=True, which takes the pieces that are needed; or `mf ckpt merge` it",
            )  # fmt: skip
        load_tensors_whole(self.model, whole_tensors(path), str(path))

    def _resume_from(self, asked: bool | str | Path | None) -> Path | None:
        """Return the checkpoint to go on from, if the run is to go on from one."""
        if asked is None:
            asked = self.args.resume_from_checkpoint or self.args.resume_training
        if asked is False:
            return None
        if asked is not True:
            return user_path(asked)
        found = last_checkpoint(self.output_dir)
        if found is None:
            warnings.warn(f"{self.output_dir} has no checkpoint yet: the run begins at step 0", stacklevel=3)
        return found

    def _restore(
        self, path: Path, step: Any, loader: Loader, auto: bool | None
    ) -> tuple[TrainerState, Any, list[str]]:
        """Put everything that a checkpoint holds back; return state, random generators, the run's own checkpoints."""
        data = read_state(path)
        differing = [
            f"{name} was {data['data'].get(name)}, and is {value}"
            for name, value in loader.describe().items()
            if data.get("data", {}).get(name) != value
        ]
        if differing:
            raise CheckpointError(
                f"{path} is of a run over other data: {'; '.join(differing)}", value=str(path),
                hint="resume with the settings and the data that it began with, or pass train_checkpoint to begin a "
                "new run with its weights",
            )  # fmt: skip
        self._load(path, auto)
        states, cluster = step.state(), self._cluster
        if cluster is None or cluster.spread.is_whole:
            load_tensors(path, states)
        else:
            index = ShardedCheckpoint(self.model, cluster.spread, integrated=True).index(states)
            load_tensors(path, states, index, cluster.layout)
        if cluster is not None:
            step.reducer.refresh()
        state = TrainerState.from_dict(data)
        state.max_steps, state.num_train_epochs = loader.max_steps, loader.epochs
        return state, state_from_json(data.get("random_state")), data.get("own", [])

    def _checkpoint(self, asked: bool | str | Path | None) -> Path | str:
        """Return the checkpoint that ``True``, a path or a name means."""
        if asked is not True:
            return asked  # type: ignore[return-value]
        found = last_checkpoint(self.output_dir)
        final = self.output_dir / STATE_FILE
        if final.is_file() and (found is None or final.stat().st_mtime_ns >= (found / STATE_FILE).stat().st_mtime_ns):
            return self.output_dir
        if found is None:
            raise FileMissingError(
                f"there is no checkpoint in {str(self.output_dir)!r}", value=str(self.output_dir),
                hint="train first, or give the checkpoint's path",
            )  # fmt: skip
        return found



def _recipe_class(entry: Entry, task: str) -> type[TrainingRecipe]:
    recipe = getattr(entry.spec, "recipe", None)
    if recipe is None:
        raise UnsupportedError(f"the task {task!r} of {entry.owner} cannot be trained: no recipe", value=task)
    recipe_class: type[TrainingRecipe] = load_target(recipe, entry.owner)
    return recipe_class


def _model(model: Any, checkpoint: Checkpoint | None, head: str) -> PretrainedModel:
    if isinstance(model, PretrainedModel):
        return model
    if isinstance(model, Mapping):
        return AutoModel.from_config(AutoConfig.from_config(model))
    if not isinstance(model, (str, Path)):
        raise ArgumentTypeError(
            f"model is a name, a path or a model object, not {type(model).__name__}", value=model,
            hint="model='gpt2', or model=AutoModel.from_config(config) for random weights",
        )  # fmt: skip
    assert checkpoint is not None
    return model_of(checkpoint, f"model:{head}")


def _describe(given: Any, model: PretrainedModel | None = None) -> Any:
    """Return what can be written of an argument: a name, a path, or a configuration."""
    if isinstance(given, (str, Path)):
        return str(given)
    if isinstance(given, (list, tuple)) and all(isinstance(item, (str, Path)) for item in given) and len(given) < 100:
        return [str(item) for item in given]
    return None if model is None else model.config.to_file_dict()


def _grid(layout: Layout) -> str:
    names = {"data": "data_parallel", "tensor": "model_parallel", "pipeline": "pipeline_stage",
             "expert": "expert_parallel"}  # fmt: skip
    return ", ".join(f"{name}={getattr(layout, axis)}" for axis, name in names.items())


def _rate_of(optimizer: Any) -> Callable[[], float] | None:
    if optimizer is None:
        return None

    def rate() -> float:
        value = optimizer.get_lr()
        value = value[0] if isinstance(value, (list, tuple)) else value
        return float(value.asnumpy() if isinstance(value, ms.Tensor) else value)

    return rate
