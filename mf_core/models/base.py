"""The base of the families' models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from ..backends.base import get_backend, import_mindspore
from ..backends.runtime import exclusive
from ..boundary import public

import_mindspore()

from mindspore import Tensor, ms_memory_recycle, nn  # noqa: E402

from ..checkpoint.locate import locate  # noqa: E402
from ..errors import ArgumentTypeError, UnsupportedError  # noqa: E402
from ..generation.mixin import GenerationMixin  # noqa: E402
from ..nn.dropout import number_sites  # noqa: E402
from ..nn.init import initializing, skip_init  # noqa: E402
from ..nn.kernels import product_kernel  # noqa: E402
from ..nn.layers import Embedding, Linear  # noqa: E402
from ..nn.weight_only import WeightOnlyEmbedding, WeightOnlyLinear  # noqa: E402
from ..parallel.plan import ParallelPlan  # noqa: E402
from .call_checks import check_call, explained  # noqa: E402
from .model_files import ModelFiles  # noqa: E402
from .model_info import ModelInfo  # noqa: E402
from .weight_quantization import WeightQuantization  # noqa: E402

if TYPE_CHECKING:
    from ..config import PretrainedConfig
    from ..lora import LoraConfig
    from ..nn.decoder_pass import Decoder as DecoderArrays
    from ..parallel.config import RecomputeConfig
    from ..parallel.shard_model import ShardedState


class PretrainedModel(ModelFiles, WeightQuantization, ModelInfo, GenerationMixin, nn.Cell):
    """Base of the families' models.

    ``Model(config)`` has random weights, unless ``config.checkpoint_name_or_path`` names a checkpoint;
    ``Model.from_pretrained`` has a checkpoint's. A subclass ends its ``__init__`` with ``self.post_init()``.

    Class attributes:
        config_class: The family's config class.
        checkpoint_prefix: What parameter names begin with in checkpoints of the whole model and lack in those of its
            body, such as ``"transformer."``.
        ignored_keys: Regular expressions of names in checkpoints that are no weights of this model.
        renamed_keys: Regular expressions of names in old checkpoints -> what replaces them.
        is_body: Whether saved weights go by their names without ``checkpoint_prefix``.
        head_key: What checkpoints call the head that ``tie_word_embeddings`` makes the token embedding.
        embedding_key: Regular expression of the name of that embedding.
        attention_cells: What the attention of a block is called in it.
        lora_targets: Names, or their ends, of the linear layers that get LoRA adapters unless said otherwise.
        new_cells: Names of the cells of a head that checkpoints of the body lack, such as ``("classifier",)``. They
            are initialised then, with a warning, and are trained and saved beside LoRA adapters.
        parallel_plan: How the model may be split over devices; None: it cannot be. Models whose plan follows from
            their layers have it as a property.
        recomputes_long: Whether a text that grows beyond ``long_from`` is computed again with the positions of long
            texts, as by the authors' code; what is cached keeps those of short ones otherwise, as in transformers.

    Attributes:
        config: The configuration.
        compute_dtype: Name of the type that the backend chose to compute in.
        activation_dtype: Name of the type of what layers hand on; another where only products are computed in it.
        name_or_path: The checkpoint whose weights the model was given, as it was named; None if there is none.
        lora_config: Settings of the LoRA adapters that the model has; None if there are none.
        initialized_cells: Those of ``new_cells`` that the checkpoint lacked.
        has_auxiliary_loss: Whether :meth:`body` returns a second loss in training.
        sharding: How the model is sharded over processes; None: it is whole.
        recompute_config: Which activations the model's layers recompute; None: none.
        weight_dtype: Type that the weights of its large layers are quantized to; None: as loaded.
    """

    config_class: ClassVar[type[PretrainedConfig]]
    checkpoint_prefix: ClassVar[str] = ""
    ignored_keys: ClassVar[tuple[str, ...]] = ()
    renamed_keys: ClassVar[Mapping[str, str]] = {}
    is_body: ClassVar[bool] = False
    head_key: ClassVar[str] = "lm_head.weight"
    embedding_key: ClassVar[str] = r"(^|\.)(wte|embed_tokens|embed_in|word_embeddings?)\.weight$"
    attention_cells: ClassVar[tuple[str, ...]] = ("attn", "attention", "self_attn")
    lora_targets: ClassVar[tuple[str, ...]] = ()
    new_cells: ClassVar[tuple[str, ...]] = ()
    parallel_plan: ClassVar[ParallelPlan | None] = None
    recomputes_long: ClassVar[bool] = False

    name_or_path: str | None = None
    lora_config: LoraConfig | None = None
    initialized_cells: tuple[str, ...] = ()
    has_auxiliary_loss: bool = False
    sharding: ShardedState | None = None
    recompute_config: RecomputeConfig | None = None
    weight_dtype: str | None = None
    _kinds: Mapping[str, str] = MappingProxyType({})  # of the checkpoint's tensors, by parameter

    def __init__(self, config: PretrainedConfig) -> None:
        if not isinstance(config, self.config_class):
            raise ArgumentTypeError(
                f"{type(self).__name__} is built from a {self.config_class.__name__}, not {type(config).__name__}",
                value=config, hint=f"{type(self).__name__}.from_pretrained(name_or_path) loads a checkpoint",
            )
        backend = get_backend()
        super().__init__()
        self.config = config
        self.compute_dtype = backend.compute_dtype(config)
        self.activation_dtype = backend.activation_dtype(self.compute_dtype)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run ``construct``; threads that call it at the same time wait for each other."""
        check_call(self, args)
        with exclusive():
            try:
                return super().__call__(*args, **kwargs)
            except RuntimeError as error:
                known = explained(self, error)
                if known is None:
                    raise
                raise known from error

    def to_float(self, dst_type: Any) -> Any:
        """Refused: MindSpore's own way to another type would cast what layers and kernels choose themselves."""
        raise UnsupportedError(
            f"{type(self).__name__} is not cast by to_float({dst_type})", value=str(dst_type),
            hint="model.set_compute_dtype('float16') changes the type of the products, param_init_type the weights'",
        )

    def post_init(self) -> None:
        """Load the checkpoint that the configuration names, if it names one, and leave training mode."""
        name = getattr(self.config, "checkpoint_name_or_path", None)
        if name and initializing():
            self.load(locate(name), in_place=False)
        number_sites(self)
        self.set_train(False)

    def body(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        hidden: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return what :meth:`head` takes; with ``has_auxiliary_loss``, in training, also a scalar for the loss.

        Models that can be pipelined, or whose vocabulary can be split, have both, and ``construct`` calls them. Here,
        the body is all of the model.

        Args:
            input_ids: ``(B, S)`` int32.
            attention_mask: As ``construct`` takes it.
            position_ids: As ``construct`` takes it.
            hidden: In a stage of a pipeline that is not the first, what the stage before gave, instead of the
                embeddings; the ids are given all the same.
        """
        return self.construct(input_ids, attention_mask, position_ids)

    def head(self, hidden: Tensor, *, whole: bool = True) -> Tensor:
        """Return the logits ``(B, S, V)`` fp32 of the output of :meth:`body`.

        Args:
            hidden: Of the last stage.
            whole: Gather the logits where the vocabulary is split; False: return this process's ``(B, S, V / n)``.
        """
        return hidden

    def set_stage(self, layers: range, *, is_last: bool) -> None:
        """Become a stage of a pipeline: from now on, :meth:`body` runs only these layers.

        Args:
            layers: Their numbers, counted as ``parallel_plan.layers`` names them.
            is_last: Whether what follows the last layer is this process's too.

        Raises:
            UnsupportedError: The model cannot be divided so.
        """
        raise UnsupportedError(f"{type(self).__name__} cannot be divided into the stages of a pipeline")

    @classmethod
    def plan_for(cls, config: PretrainedConfig) -> ParallelPlan | None:
        """Return how a model of this configuration may be split over devices; None: it cannot be.

        Where the plan follows from the model's cells, the model is built for it, without touching weights.
        """
        plan = cls.parallel_plan
        if plan is None or isinstance(plan, ParallelPlan):
            return plan
        fields = {"compute_dtype": get_backend().default_dtype} if "compute_dtype" in type(config).model_fields else {}
        with skip_init():
            return cls(config.replace(**fields)).parallel_plan

    def decoder_arrays(self) -> DecoderArrays | None:
        """Return the model as the kernel ``decoder_pass`` takes it; None: the kernel does not compute such a model."""
        return None

    @property
    def long_from(self) -> int:
        """Texts of more tokens have other rotary positions (LongRoPE); 0: all texts have the same.

        Where it is not 0, ``decode`` takes ``is_long``, ``(B, 1)`` int32: 1 for rows whose text is longer.
        """
        return 0

    @classmethod
    def cache_nbytes(cls, config: PretrainedConfig, rows: int, tokens: int) -> int:
        """Return how many bytes the key-value cache takes at most; 0 where it is not known.

        Args:
            config: The model's configuration.
            rows: Texts that are generated together.
            tokens: Tokens of the longest of them.
        """
        return 0

    @property
    def cache_value_width(self) -> int:
        """Width of what the cache has instead of a value; the head width, unless a model caches something else."""
        return self.cache_shape[2]

    @property
    def blocks(self) -> Sequence[nn.Cell]:
        """The repeated layers, in order: the units of recomputation and of pipeline stages; empty where unknown."""
        return ()

    @public
    def set_compute_dtype(self, dtype: str) -> None:
        """Compute in another type from now on; the weights stay as they are.

        Compiled graphs are compiled again when they are called next: none may run in another thread meanwhile.

        Args:
            dtype: ``"float32"``, ``"float16"`` or ``"bfloat16"``.

        Raises:
            BackendError: The backend does not have it.
        """
        backend = get_backend()
        chosen = backend.compute_dtype(self.config.replace(compute_dtype=dtype))
        product_kernel(chosen, outputs_first=False)  # raises before anything has changed
        self.compute_dtype, self.activation_dtype = chosen, backend.activation_dtype(chosen)
        for _, cell in self.cells_and_names():
            if isinstance(cell, (Linear, Embedding, WeightOnlyLinear, WeightOnlyEmbedding)):
                cell.compute_in(self.compute_dtype)
        ms_memory_recycle()  # graphs that were compiled before would keep the old type
