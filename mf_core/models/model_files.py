"""The part of a model that loads and saves its files."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from mindspore import nn

from ..backends.runtime import exclusive
from ..boundary import public
from ..checkpoint.gguf.load import load_gguf, tensor_shapes
from ..checkpoint.gguf.source import GGUFSource
from ..checkpoint.locate import Checkpoint, locate, require_weights
from ..checkpoint.sharded import MODEL_STALE
from ..checkpoint.verify import verify_checkpoint
from ..checkpoint.weights import SHARD_SIZE, exact_kinds, has_own_head, load_weights, save_weights
from ..errors import ConfigError, OutOfMemoryError, UnsupportedError, WeightsError, describe
from ..nn.init import Budget, initialize, skip_init
from ..nn.kernels import kernel
from ..nn.weight_only import WeightDtype
from ..utils.callers import callers_level
from ..utils.commit import replace_files
from ..utils.files import CONFIG_FILE, write_json
from ..utils.paths import user_path
from .weight_quantization import check_weight_dtype

if TYPE_CHECKING:
    import numpy as np

    from ..config import PretrainedConfig
    from ..generation.config import GenerationConfig
    from ..hub import Source
    from ..lora import LoraConfig
    from ..parallel.shard_model import ShardedState

M = TypeVar("M", bound="ModelFiles")


class ModelFiles(nn.Cell):
    """The part of a model that loads and saves its files."""

    config_class: ClassVar[type[PretrainedConfig]]
    checkpoint_prefix: ClassVar[str]
    ignored_keys: ClassVar[tuple[str, ...]]
    renamed_keys: ClassVar[Mapping[str, str]]
    is_body: ClassVar[bool]
    head_key: ClassVar[str]
    embedding_key: ClassVar[str]
    new_cells: ClassVar[tuple[str, ...]]

    config: Any
    activation_dtype: str
    generation_config: GenerationConfig
    name_or_path: str | None
    lora_config: LoraConfig | None
    initialized_cells: tuple[str, ...]
    sharding: ShardedState | None
    weight_dtype: str | None
    _kinds: Mapping[str, str]

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
