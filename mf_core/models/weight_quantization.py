"""Quantizing the weights of a loaded model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from mindspore import ms_memory_recycle, nn

from ..backends.base import get_backend
from ..boundary import public
from ..errors import ArgumentError, UnsupportedError
from ..nn.kernels import kernel
from ..nn.weight_only import WeightDtype, quantize_weights

if TYPE_CHECKING:
    from ..lora import LoraConfig
    from ..parallel.shard_model import ShardedState


class WeightQuantization(nn.Cell):
    """The part of a model that quantizes its weights."""

    config: Any
    activation_dtype: str
    lora_config: LoraConfig | None
    sharding: ShardedState | None
    weight_dtype: str | None

    @public
    def quantize_weights(self, weight_dtype: WeightDtype) -> None:
        """Quantize the weights of the linear layers and of the token embeddings.

        Decoding reads all weights for each token, so it becomes faster by about the same factor. The model can then
        generate and be evaluated, but no longer be trained or saved. Graphs are compiled again at their next call.

        Args:
            weight_dtype: ``"int8"``, with a scale for each output, or ``"bfloat16"``.

        Raises:
            ArgumentError: ``weight_dtype`` is another.
            UnsupportedError: The weights are quantized already, or the model has adapters or is sharded over processes.
        """
        self._quantize_weights(weight_dtype)
        ms_memory_recycle()  # compiled graphs do not see that a layer was replaced

    def _quantize_weights(self, weight_dtype: WeightDtype) -> None:
        """Quantize a model that no graph has used."""
        check_weight_dtype(weight_dtype)
        why = None
        if self.lora_config is not None:
            why = "the model has adapters: fold them into its weights first, with merge_lora(model)"
        elif self.weight_dtype is not None:
            why = f"they are stored in {self.weight_dtype} already"
        elif self.sharding is not None:
            why = "the model is sharded over processes"
        if why is not None:
            raise UnsupportedError(f"weights cannot be quantized to {weight_dtype}", value=weight_dtype, why=why)
        backend = get_backend()
        by_kernel = kernel("weight_only_linear") is not None and self.activation_dtype == "float32"
        tensors = weight_dtype in backend.dtypes and backend.activation_dtype(weight_dtype) == weight_dtype
        if not (by_kernel or tensors or weight_dtype == "int8"):
            raise UnsupportedError(
                f"the {backend.name} backend cannot store weights in {weight_dtype} here", value=weight_dtype,
                why="only its own kernels, which compute in float32, can read them",
                hint=f"`mf doctor --backend {backend.name}` shows why there are none; weight_dtype='int8' needs none",
            )
        quantize_weights(self, weight_dtype, int(self.config.vocab_size))
        self.weight_dtype = weight_dtype


def check_weight_dtype(weight_dtype: str) -> None:
    """Raise ArgumentError for an unknown type of stored weights."""
    known = get_args(WeightDtype)
    if weight_dtype not in known:
        raise ArgumentError(
            f"weight_dtype={weight_dtype!r} is none of {', '.join(map(repr, known))}", value=weight_dtype,
            hint="omit it to store the weights in param_init_type",
        )
