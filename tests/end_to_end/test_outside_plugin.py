"""A family and a task that the project knows nothing of, written by the manual in ``hookspecs``: used like our own."""

from ..support.plugin_environment import Plugin

BODY = """
    @hookimpl
    def mf_configs():
        return [ConfigSpec(model_type="letters", target="mf_letters.config:LettersConfig", presets=(
            Preset(name="letters_tiny", config={"hidden_size": 8}, weights="package:mf_letters/data"),))]

    @hookimpl
    def mf_models():
        return [ModelSpec(model_type="letters", target="mf_letters.modeling:LettersModel", heads=("base", "causal_lm"))]

    @hookimpl
    def mf_tokenizers():
        return [TokenizerSpec(model_type="letters", target="mf_letters.tokenization:LettersTokenizer")]

    @hookimpl
    def mf_processors():
        return [ProcessorSpec(model_type="letters", target="mf_letters.tokenization:LettersProcessor")]

    @hookimpl
    def mf_tasks():
        return [TaskSpec(name="last_letter", pipeline="mf_letters.task:LastLetter", recipe="mf_letters.task:Recipe")]
"""

CONFIG = """
    from typing import ClassVar
    from mf_core import PretrainedConfig
    from mf_core.config import DType

    class LettersConfig(PretrainedConfig):
        model_type: ClassVar[str] = "letters"
        vocab_size: int = 28
        hidden_size: int = 16
        num_heads: int = 2
        seq_length: int = 32
        eos_token_id: int = 27
        pad_token_id: int = 27
        compute_dtype: DType = "float16"
"""

MODELING = """
    from mf_core import PretrainedModel
    from mf_core.nn import (Embedding, Linear, attention_weights, causal_bias, merge_heads, ms_dtype, positions,
                            split_heads, write_cache)
    from mindspore import nn, ops
    from .config import LettersConfig

    class LettersModel(PretrainedModel):
        config_class = LettersConfig

        def __init__(self, config):
            super().__init__(config)
            size = config.hidden_size
            self.embed = Embedding(config.vocab_size, size, std=0.5)
            self.positions = Embedding(config.seq_length, size, std=0.5)
            self.qkv = Linear(size, 3 * size, std=0.5, dtype=self.compute_dtype)
            self.heads = config.num_heads
            self.post_init()

        def run(self, input_ids, position_ids, bias, cache=None):
            x = self.embed(input_ids) + self.positions(position_ids)
            q, k, v = ops.split(self.qkv(x), x.shape[-1], -1)
            q, k, v = split_heads(q, self.heads), split_heads(k, self.heads), split_heads(v, self.heads)
            if cache is not None:
                slots, keys, values = cache[0]
                k, v = write_cache(keys, slots, k), write_cache(values, slots, v)
            return x + merge_heads(ops.BatchMatMul()(attention_weights(q, k, bias, 0.5, ms_dtype("float32")), v))

        def construct(self, input_ids, attention_mask=None, position_ids=None):
            length = input_ids.shape[1]
            if position_ids is None:
                position_ids = ops.arange(length).reshape((1, length))
                if attention_mask is not None:
                    position_ids = positions(attention_mask)
            return self.embed.attend(self.run(input_ids, position_ids, causal_bias(attention_mask, length)))

        def decode(self, input_ids, position_ids, bias, cache):
            return self.embed.attend(self.run(input_ids, position_ids, bias, cache)[:, -1])

        @property
        def cache_shape(self):
            return 1, self.config.num_heads, self.config.hidden_size // self.config.num_heads
"""

TOKENIZATION = """
    from mf_core import PretrainedTokenizer
    from mf_core.processing import TextProcessor

    class LettersTokenizer(PretrainedTokenizer):
        alphabet = [chr(97 + i) for i in range(26)] + [" ", "<end>"]

        @classmethod
        def load(cls, source, **options):
            return cls(**{"eos_token": "<end>", "pad_token": "<end>", **options})

        def save_vocabulary(self, directory):
            pass

        def encode_text(self, text):
            return [self.alphabet.index(c) for c in text], [(i, i + 1) for i in range(len(text))]

        def decode_ids(self, ids, skip_special_tokens):
            return "".join(self.alphabet[i] for i in ids if i < 27 or not skip_special_tokens)

        def token_to_id(self, token):
            return self.alphabet.index(token) if token in self.alphabet else None

        def id_to_token(self, index):
            return self.alphabet[index] if 0 <= index < 28 else None

        def __len__(self):
            return 28

    class LettersProcessor(TextProcessor):
        default_tokenizer = "letters_tiny"
"""

TASK = """
    import mindspore as ms
    import numpy as np
    from mf_core import Pipeline, TrainingRecipe
    from mindspore import nn, ops

    class LastLetter(Pipeline):
        default_model = "letters_tiny"

        def __call__(self, inputs, **options):
            ids = self.tokenizer(inputs, add_special_tokens=False, return_tensors="ms")["input_ids"]
            return self.tokenizer.decode(int(self.model(ids).asnumpy()[0, -1].argmax()))

    class Loss(nn.Cell):
        def __init__(self, model):
            super().__init__(auto_prefix=False)
            self.model = model

        def construct(self, ids, labels):
            logits = self.model(ids)[:, -1]
            return ops.cross_entropy(logits, labels), ops.ones((), ms.float32) * labels.shape[0]

    class Recipe(TrainingRecipe):
        def examples(self, dataset, name="train_dataset"):
            return [self.tokenizer.encode(word, add_special_tokens=False) for word in dataset]

        def collate(self, examples):
            rows = np.array(examples, np.int32)
            return rows[:, :-1], rows[:, -1]

        def network(self):
            return Loss(self.model)

        def metrics(self, loss):
            return {"surprise": 2 * loss}
"""

LETTERS = Plugin(
    "mf-letters",
    BODY,
    modules={
        "config": CONFIG, "modeling": MODELING, "tokenization": TOKENIZATION, "task": TASK, "data/__init__": "",
    },
)  # fmt: skip

MAKE = """
    from mf_core import AutoConfig, AutoModel, set_seed
    set_seed(4)
    AutoModel.from_config(AutoConfig.from_pretrained("letters_tiny")).save_pretrained("made")
"""

USE = """
    import json, os, sys
    import numpy as np
    os.environ["MF_MODELS"] = os.getcwd()
    os.rename("made", "letters_tiny")
    from mf_core import AutoModel, AutoProcessor, AutoTokenizer, LettersModel, Trainer, TrainingArguments, pipeline
    model, tokenizer = AutoModel.from_pretrained("letters_tiny"), AutoTokenizer.from_pretrained("letters_tiny")
    prompts = [tokenizer.encode(t, add_special_tokens=False) for t in ("a", "hello world", "zebra")]
    options = dict(max_new_tokens=12, do_sample=False, eos_token_id=None)
    together = model.generate(prompts, **options)
    import mindspore as ms
    def uncached(ids):
        ids = list(ids)
        for _ in range(12):
            ids.append(int(model(ms.Tensor([ids], ms.int32)).asnumpy()[0, -1].argmax()))
        return ids
    words = ["ab" * n + "ab" for n in (2,)] * 64
    args = TrainingArguments(output_dir="out", batch_size=8, max_steps=60, learning_rate=3e-2, logging_steps=20,
                             save_steps=30, gradient_accumulation_steps=2, eval_strategy="steps", eval_steps=30)
    trainer = Trainer(args, task="last_letter", model="letters_tiny", train_dataset=words, eval_dataset=words[:20])
    trainer.train()
    again = Trainer(args, task="last_letter", model="letters_tiny", train_dataset=words, eval_dataset=words[:20])
    again.train(resume_training="out/checkpoint-30")
    weights = [[p.asnumpy() for p in t.model.get_parameters()] for t in (trainer, again)]
    print(json.dumps({
        "class": type(model) is LettersModel,
        "equal": together == [uncached(p) for p in prompts],
        "text": pipeline("text_generation", "letters_tiny")("hello", max_new_tokens=4)[0]["text_generation_text"][0],
        "processor": list(AutoProcessor.from_pretrained("letters_tiny")("abc")["text"].shape),
        "resumed": all((a == b).all() for a, b in zip(*weights)),
        "evaluated": trainer.evaluate(),
        "predicted": trainer.predict(input_data="ababa"),
        "trained": pipeline("last_letter", AutoModel.from_pretrained("out"), tokenizer)("ababa"),
    }))
"""


def test_an_outside_family_and_task_work_from_generation_to_training(environment):
    made = environment(LETTERS)
    made.borrow("mf-cpu-backend", "mindspore")
    listed = made.mf("models", "--json").json
    assert [row["name"] for row in listed] == ["letters_tiny"]
    result = made.run(MAKE)
    assert result.code == 0, result.stderr
    used = made.run(USE)
    assert used.code == 0, used.stderr
    import json

    data = json.loads(used.stdout.splitlines()[-1])
    assert data["class"] is True
    assert data["equal"] is True
    assert data["text"].startswith("hello")
    assert data["processor"] == [1, 128]
    assert data["trained"] == data["predicted"] == "b"
    assert data["resumed"] is True
    assert data["evaluated"]["tokens"] == 20
    assert data["evaluated"]["surprise"] == 2 * data["evaluated"]["loss"]
