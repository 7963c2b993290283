"""The trainer: what users call."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from .. import context
from ..auto import AutoTokenizer
from ..backends.base import get_backend, load_class
from ..boundary import public
from ..checkpoint.locate import locate
from ..errors import ArgumentError, ArgumentTypeError, UnsupportedError
from ..models.base import PretrainedModel
from ..parallel import Layout, ParallelConfig, RecomputeConfig
from ..plugins.registry import registry
from ..processing.resolve import image_processor_for
from ..tokenization.base import PretrainedTokenizer
from ..tokenization.resolve import tokenizer_of
from ..utils.paths import user_path
from ..utils.seed import set_seed
from .adapters import Adapters, seeded
from .arguments import TrainingArguments
from .callbacks import CallbackList, as_list
from .checkpoints.checkpointer import Checkpointer
from .evaluation import Evaluator, Metrics
from .inputs import RunFileContents, arguments_of, check_supported, describe, model_for, recipe_of
from .loader import Loader
from .loop import TrainingLoop, TrainResult
from .reporting.reporters import reporters
from .results import Parts
from .session import Session, start_session
from .state import TrainerControl, TrainerState
from .steps.build import make_step, rate_of
from .steps.precision import Precision


class Trainer:
    """Trains, evaluates and uses a model on a task that a plugin brings.

    Args:
        args: Settings: an object, a mapping, or the path of a YAML or JSON file; None: all defaults.
        task: The task whose recipe (collation, loss, metrics) is used, such as ``"text_generation"``.
        model: A preset, directory or hub repository, whose weights are loaded; a model object; or a configuration as a
            mapping with ``model_type``, for random weights, which ``args.seed`` determines.
        model_name: The checkpoint whose tokenizer goes with a model object, when ``tokenizer`` is not given.
        train_dataset, eval_dataset: What the task's recipe takes; for text generation see
            :class:`mf_core.tasks.causal_lm.CausalLMRecipe`.
        tokenizer: The tokenizer, or a checkpoint's name; None: the model's own, when the model is given by name.
        image_processor: For tasks that take images: a name, or an object; None: the model's, when it is given by name,
            or the family's for the size of its images, when it is a configuration.
        audio_processor: For tasks that take sound.
        optimizers: A ``mindspore.nn`` optimizer over the model's parameters, instead of ``args.optim`` and its rate.
        wrapper: Makes the cell that takes a step from the network and the optimizer, as ``nn.TrainOneStepCell`` does.
        pet_method: ``"lora"`` trains adapters beside the weights, which stay as they are; or a
            :class:`mf_core.LoraConfig`.
        callbacks: One or several :class:`mf_core.Callback`, or MindSpore's.
        eval_callbacks: Those that evaluations call.
        compute_metrics: Further metrics, from an :class:`EvalPrediction` to a dict of numbers.
        save_config: Write ``run.yaml`` into ``output_dir``: the run's arguments, as ``mf train --config`` takes them.

    Attributes:
        model, tokenizer, recipe, args: What it works with.
        state: The state of the last training; a :class:`mf_core.TrainerState`.

    Raises:
        NotRegisteredError: No plugin has the task, or the model.
        UnsupportedError: The task cannot be trained.
    """

    @public
    def __init__(
        self,
        args: TrainingArguments | Mapping[str, Any] | str | Path | None = None,
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
        self.args = arguments_of(args)
        self.task = task
        self._entry = registry.find("task", task)
        get_backend()  # first: loading the recipe imports MindSpore as the backend requires
        recipe_class = recipe_of(self._entry, task)
        named = model if isinstance(model, (str, Path)) else model_name
        checkpoint = locate(named) if named else None
        with seeded(self.args.seed):
            self.model = model_for(model, checkpoint, recipe_class, train_dataset, self.args.on_bad_record)
        self._precision = Precision(self.model, self.args.dtype)
        self._adapters = Adapters(self.model, pet_method, self.args)
        if isinstance(tokenizer, (str, Path)):
            tokenizer = AutoTokenizer.from_pretrained(tokenizer)
        reads_text = "text" in recipe_class.modalities
        self.tokenizer = tokenizer or (tokenizer_of(checkpoint) if checkpoint is not None and reads_text else None)
        self.train_dataset, self.eval_dataset = train_dataset, eval_dataset
        if "image" in recipe_class.modalities:
            image_processor = image_processor_for(image_processor, checkpoint, task, self.model.config)
        given = {"image_processor": image_processor, "audio_processor": audio_processor}
        self._processors = {name: value for name, value in given.items() if value is not None}
        self.recipe = recipe_class(self.model, self.tokenizer, self.args, **self._processors)
        self._optimizer, self._wrapper = optimizers, wrapper
        self._callbacks, self._eval_callbacks = as_list(callbacks), as_list(eval_callbacks)
        self._evaluator = Evaluator(self.model, self.recipe, self.args, compute_metrics)
        readers = [reader for reader in (self.tokenizer, image_processor) if reader is not None]
        self._checkpointer = Checkpointer(self.model, self._adapters, readers, self.args)
        self.state = TrainerState()
        self.parallel_config: ParallelConfig | None = None
        self.recompute_config = RecomputeConfig()
        if self.args.recompute:
            self.set_recompute_config(recompute=True)
        self._run = RunFileContents(
            task, describe(model, self.model), model_name, describe(train_dataset), describe(eval_dataset),
            self._adapters.method,
        )  # fmt: skip
        self._save_config = save_config

    def __repr__(self) -> str:
        """Return task, model, size, method and progress."""
        size, method = self.model.num_parameters(), self._adapters.method
        return (
            f"Trainer(task={self.task!r}, model={type(self.model).__name__} with {size:,} weights"
            f"{f', pet_method={method!r}' if method else ''}, output_dir={self.args.output_dir!r}, "
            f"step {self.state.global_step} of {self.state.max_steps or 'unknown'})"
        )

    @property
    def output_dir(self) -> Path:
        """The folder that the run writes to."""
        return self._checkpointer.directory

    @public
    def set_parallel_config(self, **settings: Any) -> None:
        """Set how the model is sharded over devices; see :class:`mf_core.parallel.ParallelConfig`.

        The weights do not change; the first training or evaluation shards them. Where nothing is set, each device
        has a copy of the model (``data_parallel``).

        Raises:
            ArgumentError: A setting is unknown, or does not suit the model or the number of devices.
        """
        config = ParallelConfig(**settings)
        if self.model.sharding is not None and config != self.model.sharding.config:
            hint = "call set_parallel_config before the first training or evaluation"
            raise ArgumentError("the model is sharded over the devices already", value=settings, hint=hint)
        config.check(self.model, context.current().device_num)
        self.parallel_config = config

    @public
    def set_recompute_config(self, **settings: Any) -> None:
        """Set which activations are recomputed; see :class:`mf_core.parallel.RecomputeConfig`.

        Raises:
            ArgumentError, UnsupportedError: A setting is unknown, or the model does not declare its layers.
        """
        config = RecomputeConfig(**settings)
        config.check(self.model)
        self.recompute_config = config

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
            resume_training: Resume from the last checkpoint in ``output_dir`` (True), from this checkpoint, or from
                the last one of this run's folder, as if the run had not stopped. Where ``output_dir`` has none yet,
                the run begins, with a warning. None: ``args`` decides.
            auto_trans_ckpt: Load a checkpoint that was written on another number of devices; None: ``args`` decides.
            do_eval: Evaluate after each epoch, as ``args.do_eval`` does.

        Raises:
            ArgumentError: ``output_dir`` holds a model or checkpoints of another run.
            DataError: There is no data, a record has the wrong form, or there is nothing to learn from.
            TrainingError: The loss is not a number any more.
            CheckpointError, IntegrityError: A checkpoint cannot be written, is of another run, or is damaged.
            OutOfMemoryError: A step does not fit into memory.
            SystemExit: After a SIGTERM, when a checkpoint has been written.
            UnsupportedError: The model's weights are quantized.
        """
        args = self.args
        if do_eval and args.eval_every == (None, None):
            args = args.model_copy(update={"do_eval": True})
        check_supported(self.model, args)
        saves = self._checkpointer
        resumption = saves.resumption(resume_training)
        run = uuid.uuid4().hex if resumption is None else resumption.content.run
        saves.check_output(run, resumes=resumption is not None, continues=train_checkpoint is True)
        with saves.lock(), self._precision.applied():
            session = self._session()
            layout = Layout() if session is None else session.layout
            if resumption is None and train_checkpoint is not False:
                saves.load(saves.find(train_checkpoint), auto_trans_ckpt)
            set_seed(args.seed)
            with nullcontext() if session is None else session.first_prepares():
                loader = Loader(self.recipe, self.train_dataset, args, layout.data_rank, layout.data)
                if args.eval_every != (None, None):
                    self._evaluator.check(self.eval_dataset, layout)
            self.recompute_config.apply(self.model)
            with self._precision.masters():
                step = make_step(self.recipe, args, session, self._optimizer, self._wrapper)
                random = None
                if resumption is None:
                    self.state = TrainerState(max_steps=loader.max_steps, num_train_epochs=loader.epochs)
                else:
                    self.state, random = saves.restore(resumption, step, loader, auto_trans_ckpt)
                if args.only_save_strategy and session is not None:
                    saves.write_strategy(step)
                    return TrainResult(0, float("nan"), {}, 0, 0.0)
                parts = Parts(
                    self.recipe, loader, step, lambda: self._evaluator.run(self.eval_dataset, session),
                    lambda: saves.copy(step.state()), saves.begin(run, self.state), rate_of(self._optimizer),
                    **({} if session is None else {"agree": session.agree}),
                )  # fmt: skip
                shown: list[Any] = []
                if layout.rank == 0:
                    if self._save_config:
                        self.save_config()
                    shown = reporters(self.output_dir, args, loader.summary())
                users = {"model": self.model, "tokenizer": self.tokenizer, "trainer": self}
                callbacks = CallbackList([*shown, *self._callbacks], **users)
                eval_callbacks = CallbackList(self._eval_callbacks, **users)
                loop = TrainingLoop(parts, args, self.state, callbacks, eval_callbacks, random)
                self.model.set_train(True)
                try:
                    loop.run()
                except BaseException:
                    for callback in shown:
                        callback.close()
                    raise
                finally:
                    self.model.set_train(False)
                if args.load_best_model_at_end:
                    saves.load_best(self.state)
            try:
                saves.finish(run, self.state)
                if session is not None:
                    session.barrier()
                return loop.end()
            finally:
                for callback in shown:
                    callback.close()

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
            finetune_checkpoint: As ``train_checkpoint`` of ``train``; False: begin with the model's own weights.
            resume_training, auto_trans_ckpt, do_eval: As for ``train``.
        """
        return self.train(finetune_checkpoint, resume_training, auto_trans_ckpt, do_eval)

    @public
    def evaluate(self, eval_checkpoint: bool | str | Path = False) -> dict[str, float]:
        """Return the metrics of the ``eval_dataset``: ``loss``, ``perplexity`` where the task has one, ``tokens``, …

        Args:
            eval_checkpoint: Load this checkpoint's weights first; True: the last one in ``output_dir``.

        Raises:
            DataError: There is no ``eval_dataset``, a record has the wrong form, or there are no targets.
        """
        with self._precision.applied():
            session = self._session()
            if eval_checkpoint is not False:
                self._checkpointer.load(self._checkpointer.find(eval_checkpoint), None)
            return self._evaluator.run(self.eval_dataset, session)

    @public
    def predict(
        self,
        predict_checkpoint: bool | str | Path | None = None,
        input_data: Any = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> Any:
        """Return the predictions of the task's pipeline for ``input_data``.

        Args:
            predict_checkpoint: Load this checkpoint's weights first; True: the last one in ``output_dir``.
            input_data: What the pipeline takes; for text generation a prompt or a list of them.
            batch_size: How many go through the model together.
            **options: The pipeline's, such as ``max_length``.
        """
        if input_data is None:
            raise ArgumentTypeError("predict has no input_data", hint="pass predict(input_data=…)")
        session = self._session()
        if session is not None and session.layout.size != session.layout.data:
            raise UnsupportedError(
                "predict needs whole weights in each process", value=session.sharding.config.to_dict(),
                hint="save the model, and predict in one process",
            )  # fmt: skip
        if predict_checkpoint not in (None, False):
            self._checkpointer.load(self._checkpointer.find(predict_checkpoint), None)
        if batch_size is not None:
            options["batch_size"] = batch_size
        pipeline = load_class(self._entry)(self.model, self.tokenizer, **self._processors)
        result = pipeline(input_data, **options)
        callbacks = CallbackList(self._callbacks, model=self.model, tokenizer=self.tokenizer, trainer=self)
        callbacks.call("on_predict", self.args, self.state, TrainerControl(), predictions=result)
        return result

    @public
    def save_pretrained(self, directory: str | Path) -> None:
        """Write the whole model, or its adapters, and the tokenizer; in a cluster, every process calls this."""
        self._checkpointer.save_model(user_path(directory))

    @public
    def save_config(self) -> Path:
        """Write ``run.yaml``, as ``mf train --config`` takes it, into ``output_dir``; return its path."""
        return self._run.write(self.output_dir, self.args, self.parallel_config)

    def _session(self) -> Session | None:
        """Return the session of the processes that train together, started by the first call; None if there is one."""
        saves = self._checkpointer
        if saves.session is None:
            saves.session = start_session(
                self.model, self.recipe, self.args, self.parallel_config, self.recompute_config, wrapper=self._wrapper,
                optimizer=self._optimizer, train_dataset=self.train_dataset, adapters=bool(self._adapters.method),
            )  # fmt: skip
            if saves.session is not None:
                self.parallel_config = saves.session.sharding.config
        return saves.session
