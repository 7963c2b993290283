"""The model's parallel plan fits the model, and its stages make the whole."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import MFError
from ...parallel.device_mesh import Layout
from ...parallel.plan import ParallelPlan, matches, prefix
from ...parallel.validate import check_fit
from ..contracts.contract import once
from .model_under_test import ModelSubject
from .random_weights import distance


class ShardingChecks(ModelSubject):
    """The checks of ``parallel_plan``, ``blocks`` and ``set_stage``. A model without a plan is spared them."""

    @property
    def _plan(self) -> ParallelPlan:
        plan: ParallelPlan | None = self.model.parallel_plan
        if plan is None:
            self.skip("the model has no parallel_plan: it can be trained data-parallel, and not be split")
        return plan

    @once
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(parameter.shape) for name, parameter in self.model.parameters_and_names()}

    @property
    def _layers(self) -> list[str]:
        plan = self._plan
        found = [prefix(name, pattern) for pattern in plan.layers for name in self._shapes]
        return list(dict.fromkeys(filter(None, found)))

    def test_plan_names_cells_that_exist(self) -> None:
        """A pattern that matches nothing splits nothing: each device computes all of it, or a wrong part."""
        plan, cells = self._plan, dict(self.model.cells_and_names())
        # Experts, which many families have in some of their sizes alone, may be missing from this one.
        kinds = ("columns", "rows", "heads", "vocabulary", "layers", *(("first", "last") if self._has_stages else ()))
        for kind in kinds:
            for pattern in getattr(plan, kind):
                self.expect(any(matches(path, (pattern,)) for path in cells),
                            f"parallel_plan.{kind} names {pattern!r}, and the model has no such cell",
                            f"its cells are: {', '.join(list(cells)[1:9])}, …")  # fmt: skip

    def test_plan_names_cells_that_can_be_split(self) -> None:
        """Only mf_core.nn's layers talk to the other devices when their weights are split."""
        from ...nn import Embedding, Linear

        plan, cells = self._plan, dict(self.model.cells_and_names())
        for kind, cls in (("columns", Linear), ("rows", Linear), ("vocabulary", Embedding)):
            for path, cell in cells.items():
                if matches(path, tuple(getattr(plan, kind))):
                    self.expect(isinstance(cell, cls), f"parallel_plan.{kind} names {path}, a {type(cell).__name__}",
                                f"only mf_core.nn.{cls.__name__} can be split")  # fmt: skip
        self.expect(bool(plan.columns) == bool(plan.rows), "parallel_plan has columns or rows, and not both",
                    "each linear whose outputs are split is followed by one whose inputs are, which sums")  # fmt: skip
        for path, cell in cells.items():
            if matches(path, plan.heads):
                count = getattr(cell, "num_heads", None)
                self.expect(isinstance(count, int), f"parallel_plan.heads names {path}, whose num_heads is {count!r}",
                            "name the cell that reads its num_heads in construct; `*` stands for dots too")  # fmt: skip

    def test_plan_covers_the_model(self) -> None:
        """A parameter that no stage has, or that is cut unevenly, shows when a cluster has been paid for."""
        plan = self._plan
        self._need_even(plan)
        pipeline = 2 if self._has_stages and len(self._layers) % 2 == 0 and self._layers else 1
        entries = [self._shapes[f"{path}.weight"][0] for path in self._vocabularies(plan)]
        for vocabulary in (False, True) if all(count % 2 == 0 for count in entries) else (False,):
            layout = Layout(tensor=2, pipeline=pipeline)
            try:
                specs = check_fit(
                    self.model_class.__name__, plan, self._shapes, layout, self.model.config, vocabulary=vocabulary
                )
            except MFError as error:
                self.fault(
                    f"{error.what}", "every parameter outside the layers is of a cell in first or last; "
                    "a fused weight is a multiple of how many weights it holds",
                )  # fmt: skip
            for name, spec in specs.items():
                if spec.split is not None:
                    whole = np.arange(np.prod(spec.shape)).reshape(spec.shape)
                    pieces = [spec.split.shard(whole, index, 2) for index in range(2)]
                    same = np.array_equal(spec.split.join(pieces), whole)
                    self.expect(same, f"the pieces of {name}, put together, are not the whole")

    def test_plan_splits_what_it_can(self) -> None:
        """A linear layer that the plan does not name is stored and computed whole on every device."""
        from ...nn import Linear

        plan = self._plan
        if not plan.columns:
            self.skip("the plan splits no linears")
        forgotten = [
            path for path, cell in self.model.cells_and_names()
            if isinstance(cell, Linear) and any(prefix(path, pattern) for pattern in plan.layers)
            and not matches(path, (*plan.columns, *plan.rows, *plan.whole, *self.held_whole))
        ]  # fmt: skip
        self.expect(not forgotten, f"parallel_plan has {', '.join(forgotten[:3])} in neither columns nor rows",
                    "name it there, or in `held_whole` if each device is to have it in full")  # fmt: skip

    def test_blocks_are_the_plan_s_layers(self) -> None:
        """Recomputation and pipelines take the model's blocks for the plan's layers, one for one."""
        layers, blocks = self._layers, len(self.model.blocks)
        if not layers and not blocks:
            self.skip("the plan has no layers")
        self.expect(blocks == len(layers), f"there are {blocks} blocks, and parallel_plan.layers names {len(layers)}",
                    "blocks returns the cells that `layers` names, in order")  # fmt: skip

    def test_stages_make_the_whole(self) -> None:
        """A pipeline's stages, one after the other, have to say what the whole model says."""
        self.need_causal_lm()
        if not self._has_stages:
            self.skip("the model cannot be pipelined: it does not override set_stage")
        count = len(self._layers)
        if count < 2:
            self.skip("fewer than two layers: set num_layers in `config`")
        from mindspore import Tensor

        first, last = self.load_saved(), self.load_saved()
        try:
            first.set_stage(range(count // 2), is_last=False)
            last.set_stage(range(count // 2, count), is_last=True)
        except MFError as error:
            self.fault(error.what, "override set_stage, or leave `layers` out of the plan")
        ids = self.ids(2, self.length)
        hidden = first.body(Tensor(ids))
        found = last.head(last.body(Tensor(ids), hidden=hidden)).asnumpy()
        apart = distance(self.logits(ids), found)
        self.expect(apart <= self.tolerance, f"two stages and the whole model differ by {apart:.1e} of their size",
                    "set_stage(layers) runs those layers; what follows the last is run where is_last")  # fmt: skip

    @property
    def _has_stages(self) -> bool:
        """Whether the model can be a stage of a pipeline, which its class says by overriding the base's method."""
        from ...models.base import PretrainedModel

        name = "set_stage" if hasattr(PretrainedModel, "set_stage") else "cut"
        return getattr(self.model_class, name) is not getattr(PretrainedModel, name)

    # How ------------------------------------------------------------------------------------------------------------

    def _need_even(self, plan: ParallelPlan) -> None:
        heads = getattr(self.model.config, "num_heads", None)
        if plan.heads and isinstance(heads, int) and heads % 2:
            self.skip(f"num_heads={heads} cannot be halved: set it to an even number in `config`")

    def _vocabularies(self, plan: ParallelPlan) -> list[Any]:
        paths = [path for path, _ in self.model.cells_and_names() if matches(path, plan.vocabulary)]
        return [path for path in paths if f"{path}.weight" in self._shapes]
