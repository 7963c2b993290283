"""The base of the families' models."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..backends.base import get_backend, import_mindspore
from ..backends.runtime import exclusive
from ..boundary import public
from ..utils.paths import user_path

import_mindspore()

from mindspore import Tensor, ms_memory_recycle, nn  # noqa: E402

from ..checkpoint.gguf.load import load_gguf, tensor_shapes  # noqa: E402
from ..checkpoint.gguf.source import GGUFSource  # noqa: E402
from ..checkpoint.locate import Checkpoint, locate, require_weights  # noqa: E402
from ..checkpoint.sharded import MODEL_STALE  # noqa: E402
from ..checkpoint.verify import verify_checkpoint  # noqa: E402
from ..checkpoint.weights import SHARD_SIZE, exact_kinds, has_own_head, load_weights, save_weights  # noqa: E402
from ..errors import (  # noqa: E402
    ArgumentTypeError,
    ConfigError,
    OutOfMemoryError,
    UnsupportedError,
    WeightsError,
    describe,
)
from ..generation.mixin import GenerationMixin  # noqa: E402
from ..nn.dropout import number_sites  # noqa: E402
from ..nn.init import Budget, initialize, initializing, skip_init  # noqa: E402
from ..nn.kernels import kernel, product_kernel  # noqa: E402
from ..nn.layers import Embedding, Linear  # noqa: E402
from ..nn.weight_only import WeightDtype, WeightOnlyEmbedding, WeightOnlyLinear  # noqa: E402
from ..parallel.plan import ParallelPlan  # noqa: E402
from ..utils.callers import callers_level  # noqa: E402
from ..utils.commit import replace_files  # noqa: E402
from ..utils.files import CONFIG_FILE, write_json  # noqa: E402
from .call_checks import check_call, explained  # noqa: E402
from .model_info import ModelInfo  # noqa: E402
from .weight_quantization import WeightQuantization, check_weight_dtype  # noqa: E402

if TYPE_CHECKING:
    import numpy as np

    from ..config import PretrainedConfig
    from ..hub import Source
    from ..lora import LoraConfig
    from ..nn.decoder_pass import Decoder as DecoderArrays
    from ..parallel.config import RecomputeConfig
    from ..parallel.shard_model import ShardedState

M = TypeVar("M", bound="PretrainedModel")


class PretrainedModel(WeightQuantization, ModelInfo, GenerationMixin, nn.Cell):
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

    @classmethod
    @public
    def from_pretrained(
        cls: type[M],
        name_or_path: str | Path,
        *,
        revision: str | None = None,
        weight_dtype: WeightDtype | None = None,
        verify: bool = False,
        **overrides: Any,
    ) -> M:
        """Return a model with a checkpoint's weights; see :meth:`mf_core.AutoModel.from_pretrained`."""
        checkpoint = locate(name_or_path, revision)
        if verify:
            verify_checkpoint(checkpoint)
        return cls.from_checkpoint(checkpoint, weight_dtype=weight_dtype, **overrides)

    @classmethod
    @public
    @exclusive(interruptible=True)
    def from_checkpoint(
        cls: type[M], checkpoint: Checkpoint, *, weight_dtype: WeightDtype | None = None, **overrides: Any
    ) -> M:
        """Return a model with the weights of a checkpoint that has been located."""
        if weight_dtype is not None:
            check_weight_dtype(weight_dtype)  # first: it would be loaded for nothing
        if checkpoint.model_type != cls.config_class.model_type:
            raise ConfigError(
                f"{checkpoint.name!r} is a {checkpoint.model_type!r} checkpoint, not one for {cls.__name__}",
                value=checkpoint.name, hint="use AutoModel, which picks the class",
            )
        config = cls.config_class.from_dict(checkpoint.config, **overrides)
        source = require_weights(checkpoint)  # first: the model may be too large to be made for nothing
        if cls._ties_another_head(config, source):
            config = config.replace(tie_word_embeddings=False)  # the weights are there to be used
        budget = Budget.of(tensor_shapes(source), source.location)
        try:
            with skip_init(budget):
                model = cls(config)
        except MemoryError as error:
            raise OutOfMemoryError(
                f"there is not enough memory for a {cls.__name__} of {checkpoint.name!r}", value=checkpoint.name,
                why=describe(error), hint="check the sizes in config.json (seq_length, vocab_size, hidden_size)",
            ) from error  # fmt: skip
        if isinstance(source, GGUFSource):
            model._load_gguf(source, keep_blocks=weight_dtype is None)
        else:
            model._load(checkpoint, in_place=False)
        model._set_generation_config(checkpoint, overrides)
        if checkpoint.adapter is not None:
            from ..lora.files import fill

            fill(model, checkpoint.adapter)
        model._warn_of_new_cells("are initialised: train the model before you use it")
        if weight_dtype not in (None, "float32"):
            model._quantize_weights(weight_dtype)
        return model

    def _load_gguf(self, source: GGUFSource, *, keep_blocks: bool) -> None:
        """Load a GGUF file's weights into this model, which has not been used yet."""
        # Only the kernel multiplies by blocks: a model that it does not compute has its weights dequantized.
        keep_blocks = keep_blocks and kernel("decoder_pass") is not None and self.decoder_arrays() is not None
        self.weight_dtype = load_gguf(self, source, keep_blocks=keep_blocks)
        self.name_or_path = source.location

    @public
    def load(self, checkpoint: Checkpoint, *, in_place: bool = True) -> None:
        """Load a located checkpoint's weights into this model.

        Cells of :attr:`new_cells` that the checkpoint lacks keep their values, with a warning.

        Args:
            checkpoint: Where they are.
            in_place: False maps the files into a model that has not been used yet, which copies nothing.

        Raises:
            FileMissingError, DownloadError, IntegrityError: They could not be loaded.
            WeightsError: They do not fit.
        """
        self._load(checkpoint, in_place=in_place)
        self._warn_of_new_cells("keep the values that they have")

    def _load(self, checkpoint: Checkpoint, *, in_place: bool) -> None:
        if self.weight_dtype is not None:
            raise UnsupportedError(
                f"a model with weights stored in {self.weight_dtype} takes no others", value=self.weight_dtype,
                hint="from_pretrained(…, weight_dtype=…) makes a model of a checkpoint",
            )
        source = require_weights(checkpoint)
        if isinstance(source, GGUFSource):
            raise UnsupportedError(
                f"the GGUF file {checkpoint.name!r} is not loaded into a model that is there", value=checkpoint.name,
                hint="from_pretrained(file) makes a model of it; `mf convert` makes a directory",
            )
        if self._ties_another_head(self.config, source):
            raise WeightsError(
                f"the weights of {checkpoint.name!r} have their own head, and this model's is its token embedding",
                value=self.head_key, hint="build the model with tie_word_embeddings=False",
            )
        adapters = (r"\.lora_[AB]$",) if self.lora_config is not None else ()
        self._kinds = {}
        self.initialized_cells = load_weights(
            self, source, prefix=self.checkpoint_prefix, ignored=self.ignored_keys, optional=adapters,
            heads=self.new_cells, in_place=in_place, sharding=self.sharding, renamed=self.renamed_keys,
            kinds=self._kinds,
        )  # fmt: skip
        for name, parameter in self.parameters_and_names():
            if name.startswith(tuple(f"{cell}." for cell in self.initialized_cells)):
                initialize(parameter)
        self.name_or_path = checkpoint.name

    def _warn_of_new_cells(self, status: str) -> None:
        if self.initialized_cells:
            cells = ", ".join(self.initialized_cells)
            warnings.warn(
                f"the weights of {self.name_or_path} have no {cells}, which {status}", stacklevel=callers_level()
            )

    @classmethod
    def _ties_another_head(cls, config: PretrainedConfig, source: Source) -> bool:
        """Return whether a model has its embedding for a head where the weights at ``source`` have another."""
        if getattr(config, "tie_word_embeddings", False) is not True or isinstance(source, GGUFSource):
            return False
        return has_own_head(source, cls.head_key, cls.embedding_key)

    @public
    def save_pretrained(
        self,
        directory: str | Path,
        *,
        dtype: str | None = None,
        shard_size: int = SHARD_SIZE,
        weights: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Write ``config.json`` and the weights into ``directory``, in the form that ``from_pretrained`` reads.

        They replace a model or an adapter that is there in one step: after a crash at any moment, the directory has the
        old files or the new ones. Other files stay.

        Args:
            directory: Made if need be.
            dtype: ``"float32"``, ``"float16"`` or ``"bfloat16"``; None: as the checkpoint had them if these numbers are
                still the same, and otherwise the parameters' own.
            shard_size: Most bytes in a weights file; beyond it they are split.
            weights: What to write instead of the model's weights as they are now, such as an earlier copy of them.

        Raises:
            UnsupportedError: The model has LoRA adapters, or is sharded over processes.
        """
        if self.sharding is not None and not self.sharding.is_whole:
            raise UnsupportedError(
                "this process has a part of the model only", value=self.sharding.layout.rank,
                hint="Trainer.save_pretrained(directory), called in every process, puts the parts together",
            )  # fmt: skip
        if self.weight_dtype is not None:
            raise UnsupportedError(
                f"a model with weights stored in {self.weight_dtype} is not saved", value=self.weight_dtype,
                hint="the checkpoint that it came from is what weight_dtype is given with",
            )
        if self.lora_config is not None:
            raise UnsupportedError(
                "a model with LoRA adapters is not saved as a whole", value=self.lora_config,
                hint="save_adapter(model, directory) writes them; merge_lora(model) folds them into the weights",
            )
        tensors: Mapping[str, Any] = dict(self.parameters_and_names()) if weights is None else weights
        kinds = {} if dtype is not None else exact_kinds(tensors, self._kinds)
        if self.is_body:
            tensors, kinds = ({name.removeprefix(self.checkpoint_prefix): each for name, each in named.items()}
                              for named in (tensors, kinds))  # fmt: skip
        common = Counter(kinds.values()).most_common(1)
        own = common[0][0] if common else next((str(tensor.dtype).lower() for tensor in tensors.values()), "float32")
        saved = dtype or own
        with replace_files(directory, MODEL_STALE) as staging:
            save_weights(tensors, staging, dtype=dtype, shard_size=shard_size, kinds=kinds)
            self.save_config(staging, dtype=saved)

    def save_config(self, directory: str | Path, *, dtype: str) -> None:
        """Write ``config.json``, and ``generation_config.json`` of a model that can decode, into a directory.

        Args:
            directory: Where to.
            dtype: What the weights beside it are saved in.
        """
        data = {**self.config.to_file_dict(), "architectures": [type(self).__name__], "dtype": dtype}
        write_json(user_path(directory) / CONFIG_FILE, data)
        if hasattr(self, "decode"):
            self.generation_config.save_pretrained(directory)

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
