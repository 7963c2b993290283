"""A good plugin with one of everything, a good backend, and how single faults get into them.

A mutant is a copy of a good plugin under its own names, with one text in it replaced. All are installed in one
environment, as an installer unpacks wheels.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from .plugin_environment import Plugin, PluginEnvironment

PLUGIN = """
    _PRESET = Preset(
        name="letters_tiny", config={"hidden_size": 16}, weights="package:mf_letters/data", license="MIT",
        description="letters", aliases=("letters-tiny",),
    )

    @hookimpl
    def mf_configs():
        return [ConfigSpec(model_type="letters", target="mf_letters.config:LettersConfig", presets=(_PRESET,))]

    @hookimpl
    def mf_models():
        return [ModelSpec(model_type="letters", target="mf_letters.modeling:LettersModel", heads=("base", "causal_lm"))]

    @hookimpl
    def mf_tokenizers():
        return [TokenizerSpec(model_type="letters", target="mf_letters.tokenization:LettersTokenizer")]

    @hookimpl
    def mf_processors():
        return [ProcessorSpec(model_type="letters", target="mf_letters.processing:LettersProcessor")]

    @hookimpl
    def mf_tasks():
        return [TaskSpec(name="letters_next", pipeline="mf_letters.task:Next", recipe="mf_letters.task:Recipe")]
"""

CONFIG = """
    from typing import Annotated, ClassVar
    from pydantic import Field
    from mf_core import PretrainedConfig
    from mf_core.config import DType

    Positive = Annotated[int, Field(gt=0)]

    class LettersConfig(PretrainedConfig):
        model_type: ClassVar[str] = "letters"
        json_names = {"num_layers": "n_layer"}
        vocab_size: Positive = 28
        hidden_size: Positive = 16
        num_layers: Positive = 2
        num_heads: Positive = 2
        seq_length: Positive = 32
        eos_token_id: int = 27
        pad_token_id: int = 27
        compute_dtype: DType = "float16"
"""

MODELING = """
    import mindspore as ms
    from mf_core import PretrainedModel
    from mf_core.nn import (Attention, CausalBias, Embedding, LayerNorm, Linear, ms_dtype, positions, write_cache)
    from mf_core.parallel import ParallelPlan
    from mindspore import nn, ops
    from .config import LettersConfig

    class Attend(nn.Cell):
        def __init__(self, config, dtype):
            super().__init__()
            size = config.hidden_size
            self.num_heads, self.scale = config.num_heads, (size // config.num_heads) ** -0.5
            self.qkv = Linear(size, 3 * size, dtype=dtype)
            self.out = Linear(size, size, dtype=dtype)
            self.core = Attention()

        def construct(self, x, bias, cache=None):
            y = self.qkv(x)
            q, k, v = ops.split(y, y.shape[-1] // 3, -1)
            q, k, v = (self.core.split(q, self.num_heads), self.core.split(k, self.num_heads),
                       self.core.split(v, self.num_heads))
            if cache is not None:
                slots, keys, values = cache
                k, v = write_cache(keys, slots, k), write_cache(values, slots, v)
            weights = self.core.weights(q, k, bias, self.scale, ms_dtype("float32"))
            return self.out(self.core.weighted_sum(weights, v))

    class Layer(nn.Cell):
        def __init__(self, config, dtype):
            super().__init__()
            self.norm = LayerNorm(config.hidden_size)
            self.attend = Attend(config, dtype)

        def construct(self, x, bias, cache=None):
            return x + self.attend(self.norm(x), bias, cache)

    class LettersModel(PretrainedModel):
        config_class = LettersConfig
        parallel_plan = ParallelPlan(
            columns={"layers.*.attend.qkv": 3},
            rows=("layers.*.attend.out",),
            heads=("layers.*.attend",),
            vocabulary=("embed",),
            layers=("layers.*",),
            first=("embed", "position"),
            last=("norm", "embed"),
        )

        def __init__(self, config):
            super().__init__(config)
            self.embed = Embedding(config.vocab_size, config.hidden_size, dtype=self.compute_dtype)
            self.position = Embedding(config.seq_length, config.hidden_size, dtype=self.compute_dtype)
            self.layers = nn.CellList([Layer(config, self.compute_dtype) for _ in range(config.num_layers)])
            self.norm = LayerNorm(config.hidden_size)
            self.causal_bias = CausalBias()
            self.own, self.is_last = tuple(range(config.num_layers)), True
            self.post_init()

        def start(self, input_ids, position_ids):
            return self.embed(input_ids) + self.position(position_ids)

        def construct(self, input_ids, attention_mask=None, position_ids=None):
            return self.head(self.body(input_ids, attention_mask, position_ids))

        def body(self, input_ids, attention_mask=None, position_ids=None, hidden=None):
            length = input_ids.shape[1]
            if position_ids is None:
                position_ids = ops.arange(length).reshape((1, length))
                if attention_mask is not None:
                    position_ids = positions(attention_mask)
            bias = self.causal_bias(attention_mask, length)
            x = self.start(input_ids, position_ids) if hidden is None else hidden
            for i in self.own:
                x = self.layers[i](x, bias)
            return self.norm(x) if self.is_last else x

        def head(self, hidden, *, whole=True):
            return self.embed.attend(hidden, whole=whole)

        def set_stage(self, layers, *, is_last):
            self.own, self.is_last = tuple(layers), is_last

        def decode(self, input_ids, position_ids, bias, cache, logits_to_keep=None):
            x = self.start(input_ids, position_ids)
            for i in self.own:
                x = self.layers[i](x, bias, cache[i])
            x = self.norm(x)
            return self.embed.attend(x[:, -1] if logits_to_keep is None else x[:, -logits_to_keep:])

        @property
        def blocks(self):
            return self.layers

        @property
        def cache_shape(self):
            config = self.config
            return config.num_layers, config.num_heads, config.hidden_size // config.num_heads
"""

TOKENIZATION = """
    from mf_core import PretrainedTokenizer

    ALPHABET = [chr(97 + i) for i in range(26)] + [" ", "<end>"]

    class LettersTokenizer(PretrainedTokenizer):
        @classmethod
        def load(cls, source, **options):
            special = dict.fromkeys(("eos_token", "pad_token", "unk_token"), "<end>")
            return cls(**{**special, **options})

        def save_vocabulary(self, directory):
            pass

        def encode_text(self, text):
            ids = [ALPHABET.index(c) if c in ALPHABET else 27 for c in text]
            return ids, [(i, i + 1) for i in range(len(text))]

        def decode_ids(self, ids, skip_special_tokens):
            return "".join(ALPHABET[i] for i in ids if i < 27 or not skip_special_tokens)

        def token_to_id(self, token):
            return ALPHABET.index(token) if token in ALPHABET else None

        def id_to_token(self, index):
            return ALPHABET[index] if 0 <= index < 28 else None

        def __len__(self):
            return 28
"""

PROCESSING = """
    from mf_core.processing import TextProcessor

    class LettersProcessor(TextProcessor):
        default_tokenizer = "letters_tiny"
"""

TASK = """
    import mindspore as ms
    import numpy as np
    from mf_core import Pipeline, TrainingRecipe
    from mf_core.errors import ArgumentTypeError, check_options
    from mindspore import nn, ops

    class Next(Pipeline):
        head = "causal_lm"

        def __call__(self, inputs, **options):
            check_options(options, (), "letters_next")
            if isinstance(inputs, str):
                return self([inputs])[0]
            ids = [self.tokenizer.encode(text, add_special_tokens=False) for text in self.checked(inputs)]
            return [self.tokenizer.decode(row[-1]) for row in
                    self.model.generate(ids, max_new_tokens=1, do_sample=False)]

        def checked(self, inputs):
            if not isinstance(inputs, list) or not all(isinstance(text, str) for text in inputs):
                raise ArgumentTypeError(f"inputs are texts, not {inputs!r}", value=inputs)
            return inputs

    class Loss(nn.Cell):
        def __init__(self, model):
            super().__init__(auto_prefix=False)
            self.model = model

        def construct(self, ids, labels):
            logits = self.model(ids)[:, -1]
            return ops.cross_entropy(logits, labels), ops.ones((), ms.float32) * labels.shape[0]

    class Recipe(TrainingRecipe):
        head = "causal_lm"

        def examples(self, dataset, name="train_dataset"):
            return [self.tokenizer.encode(word, add_special_tokens=False) for word in dataset]

        def collate(self, examples):
            rows = np.array(examples, np.int32)
            return rows[:, :-1], rows[:, -1]

        def network(self):
            return Loss(self.model)
"""

LETTERS = Plugin(
    "mf-letters", PLUGIN,
    modules={
        "config": CONFIG, "modeling": MODELING, "tokenization": TOKENIZATION, "processing": PROCESSING, "task": TASK,
        "data/__init__": "", "spare": "",
    },
    requires=("mf-framework", "numpy", "pydantic"),
)  # fmt: skip

TOY = Plugin(
    "mf-toy",
    """
    @hookimpl
    def mf_backends():
        return [BackendSpec(name="toy", target="mf_toy.backend:ToyBackend", priority=-1)]
    """,
    modules={
        "backend": """
            from mf_core import DeviceBackend
            from mf_core.backends.base import Probe
            from mf_core.backends.checks import Check
            from mf_core.errors import BackendError

            class ToyBackend(DeviceBackend):
                name = "toy"
                default_dtype = "float32"
                dtypes = ("float32",)
                kernels = ()

                def probe(self):
                    return Probe(True, device_count=1, checks=(Check("toys", True, "1"),))

                def setup(self, device_id):
                    if device_id:
                        raise BackendError(f"there is no toy {device_id}", value=device_id)
                    import mindspore as ms
                    ms.set_device("CPU", 0)
        """
    },
    requires=("mf-framework",),
)


@dataclass(frozen=True)
class Mutant:
    """A good plugin with one fault.

    Attributes:
        check: The check that is about the fault: ``"Model.test_…"``, the contract and its method.
        words: What the check says, in part.
        file: The module in which ``old`` is replaced by ``new``; ``RECORD``: the list of installed files.
    """

    check: str
    words: str
    file: str
    old: str
    new: str


def install(made: PluginEnvironment, plugin: Plugin, suffix: str, mutant: Mutant | None = None) -> None:
    """Install a copy of a good plugin whose every name ends in ``suffix``, with a mutant's fault in it."""
    (wheel,) = made.wheelhouse.wheels([plugin])
    stem = plugin.name.removeprefix("mf-")
    found = False
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            text = archive.read(name).decode()
            if mutant is not None and Path(name).name in (mutant.file, f"{mutant.file}.py"):
                assert mutant.old in text, f"{mutant.file} has no {mutant.old!r}"
                text, found = text.replace(mutant.old, mutant.new, 1), True
            for spelling in (stem, stem.title()):
                text, name = text.replace(spelling, spelling + suffix), name.replace(spelling, spelling + suffix)
            path = made.site_packages / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    assert found or mutant is None, f"there is no {mutant.file}" if mutant else ""
    if mutant is not None and mutant.file == "RECORD":
        listed = made.site_packages / mutant.new
        listed.parent.mkdir(exist_ok=True)
        listed.touch()
