"""The settings of parallelism and of recomputation, checked against a model and the available devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..errors import ArgumentError, UnsupportedError
from ..utils.settings import Settings
from .device_mesh import Layout
from .validate import check_fit

if TYPE_CHECKING:
    from ..models.base import PretrainedModel

Count = Annotated[int, Field(gt=0)]


class ParallelConfig(Settings):
    """How a model is sharded over devices.

    Attributes:
        data_parallel: Copies of the model, each with its share of the rows.
        model_parallel: Devices that share each layer's weights.
        expert_parallel: Devices that share the experts of a mixture.
        pipeline_stage: Groups of devices that hold some layers each.
        micro_batch_num: Parts that a batch goes through the stages in.
        micro_batch_interleave_num: Parts whose computation and communication overlap.
        use_seq_parallel: Split activations by position where the layers' weights are not.
        optimizer_shard: Split the optimizer's states over the copies.
        gradient_aggregation_group: Gradients that are sent together.
        vocab_emb_dp: Keep the word embedding whole on each device, rather than split by vocabulary.
    """

    data_parallel: Count = 1
    model_parallel: Count = 1
    expert_parallel: Count = 1
    pipeline_stage: Count = 1
    micro_batch_interleave_num: Count = 1
    micro_batch_num: Count = 1
    use_seq_parallel: bool = False
    optimizer_shard: bool = False
    gradient_aggregation_group: Count = 4
    vocab_emb_dp: bool = True

    @property
    def device_num(self) -> int:
        """Devices that this takes."""
        return self.data_parallel * self.model_parallel * self.pipeline_stage

    def layout(self, rank: int) -> Layout:
        """Return the grid of devices, seen from the process ``rank``."""
        return Layout(self.data_parallel, self.model_parallel, self.pipeline_stage, self.expert_parallel, rank)

    def check(self, model: PretrainedModel, device_num: int) -> None:
        """Raise ArgumentError, with the numbers, where the devices or the model do not allow it.

        Args:
            model: The model to shard.
            device_num: How many devices there are.
        """
        if self.device_num != device_num:
            raise ArgumentError(
                f"data_parallel={self.data_parallel} x model_parallel={self.model_parallel} x "
                f"pipeline_stage={self.pipeline_stage} takes {self.device_num} devices; there "
                f"{'is' if device_num == 1 else 'are'} {device_num}",
                value=self.device_num,
                hint=f"start {self.device_num} processes with `mf launch --workers {self.device_num} script.py`, or "
                "change the numbers",
            )  # fmt: skip
        if self.expert_parallel > self.data_parallel:
            raise ArgumentError(
                f"expert_parallel={self.expert_parallel} is more than data_parallel={self.data_parallel}, over whose "
                "devices the experts are sharded", value=self.expert_parallel,
            )  # fmt: skip
        shapes = {name: tuple(parameter.shape) for name, parameter in model.parameters_and_names()}
        vocabulary = self.model_parallel > 1 and not self.vocab_emb_dp
        check_fit(
            type(model).__name__, model.parallel_plan, shapes, self.layout(0), model.config, vocabulary=vocabulary
        )
        if self.micro_batch_num < self.pipeline_stage:
            raise ArgumentError(
                f"micro_batch_num={self.micro_batch_num} is less than pipeline_stage={self.pipeline_stage}: some "
                "stage would always wait", value=self.micro_batch_num,
                hint=f"set micro_batch_num={self.pipeline_stage} or more",
            )  # fmt: skip


class RecomputeConfig(Settings):
    """Which activations are recomputed in the backward pass.

    Attributes:
        recompute: All of each layer's: only the layers' inputs are kept.
        select_recompute: Those of attention alone, which cost much memory and little time (Korthikanti et al., 2022).
        parallel_optimizer_comm_recompute: Gather the optimizer's shards of weights again as well.
        mp_comm_recompute: Repeat the communication of model parallelism as well.
        recompute_slice_activation: Keep the layers' inputs split over the devices that share their weights.
    """

    recompute: bool = False
    select_recompute: bool = False
    parallel_optimizer_comm_recompute: bool = False
    mp_comm_recompute: bool = True
    recompute_slice_activation: bool = False

    def check(self, model: PretrainedModel) -> None:
        """Raise UnsupportedError where the model does not declare its layers, or they recompute otherwise already."""
        applied = model.recompute_config
        if applied is not None and (applied.recompute, applied.select_recompute) != (
            self.recompute, self.select_recompute,
        ):  # fmt: skip
            raise UnsupportedError(
                f"the layers of this {type(model).__name__} recompute activations already, by {applied}",
                why="MindSpore marks a layer for recomputation once, and cannot undo it",
                hint="load the model again",
            )
        if (self.recompute or self.select_recompute) and not model.blocks:
            raise UnsupportedError(f"{type(model).__name__} does not say what its layers are, so it cannot recompute")

    def apply(self, model: PretrainedModel) -> None:
        """Mark the model's layers; the weights stay as they are."""
        if self.recompute:
            cells = list(model.blocks)
        elif self.select_recompute:
            cells = [cell for block in model.blocks for name, cell in block.cells_and_names()
                     if name.rpartition(".")[2] in model.attention_cells]  # fmt: skip
        else:
            return
        if model.recompute_config is None:
            for cell in cells:
                cell.recompute()
            model.recompute_config = self
