"""What holds for every task."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from ...errors import MFError, describe
from ...specs import TaskSpec
from .compare import plain, same
from .contract import once
from .plugin import PluginContract


class TaskContract(PluginContract):
    """A task answers one input and many alike, refuses what it cannot take, and trains if it has a recipe.

    Attributes:
        task: Its name.
        model: A preset or folder with weights to run it with; None: the pipeline's own ``default_model``.
        inputs: Inputs, each of which a call takes alone.
        options: Keywords of every call, such as ``{"max_new_tokens": 4}``.
        inputs_are_chosen: The inputs are texts that were not written for this task: if it does not take them, checks
            with inputs are skipped.
        examples: What the Trainer takes as ``train_dataset``, eight rows or so; None: training is not tried.
        training: Further fields of the ``TrainingArguments``, such as ``{"max_seq_length": 16}``.
    """

    task: ClassVar[str]
    model: ClassVar[str | Path | None] = None
    inputs: ClassVar[Sequence[Any]] = ()
    inputs_are_chosen: ClassVar[bool] = False
    options: ClassVar[Mapping[str, Any]] = {}
    examples: ClassVar[Any] = None
    training: ClassVar[Mapping[str, Any]] = {}

    def subject(self) -> str:
        """See the base class."""
        return f"the task {self.task}, with {self.model or 'its own model'}"

    @once
    def spec(self) -> TaskSpec:
        """The task's spec."""
        found: TaskSpec = self.spec_of(TaskSpec, name=self.task)
        return found

    @once
    def pipeline(self) -> Any:
        """The pipeline, with its model."""
        from ...pipelines import pipeline

        model = self.model if self.model is not None else self._load(self.spec.pipeline).default_model
        self.expect(model is not None, f"the task {self.task!r} has no default model", "set `model`")
        return pipeline(f"{self.owner}:{self.task}", str(model))

    @once
    def samples(self) -> list[Any]:
        """The inputs of the checks, two at least."""
        if not self.inputs:
            self.skip("there are no inputs to try: set `inputs`")
        found = list(self.inputs) if len(self.inputs) > 1 else [self.inputs[0]] * 2
        if self.inputs_are_chosen:
            try:
                self.pipeline(found[0], **self.options)
            except MFError as error:
                self.skip(f"the task does not take {found[0]!r}, and `inputs` is not set: {error.what}")
        return found

    @once
    def settled(self) -> dict[str, Any]:
        """The keywords of calls, with a seed where the task takes one."""
        options = dict(self.options)
        if "seed" not in options:
            try:
                self.pipeline(self.samples[0], **options, seed=0)
                return {**options, "seed": 0}  # asked for first: two calls without one may be alike by chance
            except (MFError, TypeError):
                pass
        one, other = (plain(self.pipeline(self.samples[0], **options)) for _ in range(2))
        if not same(one, other):
            self.skip("two calls give two answers: set `options` to what makes it the same")
        return options

    def test_aliases_find_the_task(self) -> None:
        """Users type either spelling."""
        from ...plugins.registry import registry

        for name in (self.spec.name, *self.spec.aliases):
            found = registry.find("task", f"{self.owner}:{name}").spec
            self.expect(found is self.spec or found == self.spec, f"{name!r} finds another task")

    def test_list_gives_what_inputs_give(self) -> None:
        """Users run lists for speed; each answer must be that of the input alone, in its place."""
        options = self.settled
        together = plain(self.pipeline(list(self.samples), **options))
        self.expect(isinstance(together, list) and len(together) == len(self.samples),
                    f"{len(self.samples)} inputs give {together!r:.100}", "return a list with one result an input")
        for number, item in enumerate(self.samples):
            alone = plain(self.pipeline(item, **options))
            whole = [alone, alone[0]] if isinstance(alone, list) and len(alone) == 1 else [alone]
            self.expect(
                any(same(together[number], answer, 1e-3) for answer in whole),
                f"input {number} gives {together[number]!r:.80} in a list and {alone!r:.80} alone",
                "pad on the left, and let no operation mix rows",
            )  # fmt: skip

    def test_bad_input_is_refused(self) -> None:
        """An error that names the value is mended in a minute."""
        for what, bad in {"None": None, "a number": 3, "a list with None": [None]}.items():
            self.refused(f"{what} for an input", partial(self.pipeline, bad, **self.options))

    def test_unknown_option_is_refused(self) -> None:
        """A misspelt option that is taken in silence has no effect, and no one notices."""
        error = self.refused(
            "an option that there is not", lambda: self.pipeline(self.samples[0], no_such_option=1),
            "mf_core.errors.check_options does it",
        )  # fmt: skip
        self.expect("no_such_option" in str(error), f"the error does not name it: {error.what}")

    def test_recipe_trains(self) -> None:
        """A recipe that fails in the first step is no recipe."""
        if self.spec.recipe is None:
            self.skip("the task has no recipe")
        if self.examples is None:
            self.skip("there are no rows to train on: set `examples`")
        from ...trainer import Trainer, TrainingArguments

        model = self.model if self.model is not None else self._load(self.spec.pipeline).default_model
        with tempfile.TemporaryDirectory(prefix="mf-check-") as folder:
            settings = {"batch_size": 2, "max_steps": 2, "logging_steps": 1, "learning_rate": 1e-3,
                        "weight_decay": 0.0, "save_strategy": "no", **self.training}  # fmt: skip
            args = TrainingArguments(output_dir=folder, **settings)
            trainer = Trainer(args, f"{self.owner}:{self.task}", model=str(model), train_dataset=self.examples)
            before = {name: p.asnumpy().copy() for name, p in trainer.model.parameters_and_names()}
            try:
                result = trainer.train()
            except Exception as error:
                self.fault(f"training fails: {describe(error)}", "see examples, collate and network of the recipe")
        self.expect(math.isfinite(result.loss), f"the loss is {result.loss}", "see the cell that network returns")
        still = all((before[name] == p.asnumpy()).all() for name, p in trainer.model.parameters_and_names())
        self.expect(not still, "two steps of training change no weight", "the loss has to depend on self.model")
