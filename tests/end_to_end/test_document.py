"""Scripts written for MindFormers' high-level interface, with nothing changed but the import and the device."""

import numpy as np
import pytest

from mf_core import AutoConfig, AutoModel, GPT2Config, PanguAlphaConfig, set_seed

from ..support.training import OFF, assert_equal_weights, counting_rows, weights_of, write_jsonl

CONTEXT = """
from mf_core import init_context, ContextConfig


def context_init():
    context_config = ContextConfig(mode=0, device_target="CPU", device_id=0)
    rank_id, device_num = init_context(use_parallel=False, context_config=context_config)
"""

ARGUMENTS = """
from mf_core import TrainingArguments

context_init()
training_args = TrainingArguments(num_train_epochs=3, batch_size=2, learning_rate=0.001, warmup_steps=1000,
                                  sink_mode=True)
"""

BY_NAME = """
from mf_core import Trainer

text_generation = Trainer(task='text_generation', model='gpt2', args=training_args, train_dataset='./train',
                          eval_dataset='./eval')
"""

DATASET = """
from mindspore.dataset import GeneratorDataset


def generator():
    seq_len = 1025
    input_ids = np.random.randint(low=0, high=15, size=(seq_len,)).astype(np.int32)
    for _ in range(512):
        yield input_ids


dataset = GeneratorDataset(generator, column_names=["input_ids"])
train_dataset = dataset.batch(batch_size=4)
eval_dataset = dataset.batch(batch_size=4)
"""

BY_OBJECT = """
from mf_core import Trainer, AutoModel

pangu_model = AutoModel.from_pretrained("pangualpha_2_6b")
text_generation = Trainer(task='text_generation', model=pangu_model, args=training_args, train_dataset=train_dataset,
                          eval_dataset=eval_dataset)
"""

FROM_CONFIG = """
from mf_core import Trainer
from mf_core import PanguAlphaHeadModel, PanguAlphaConfig

pangu_config = PanguAlphaConfig(hidden_size=768, ffn_hidden_size=768 * 4, num_layers=12, num_heads=12,
                                checkpoint_name_or_path='')
pangu_model = PanguAlphaHeadModel(pangu_config)
text_generation = Trainer(task='text_generation', model=pangu_model, args=training_args, train_dataset=train_dataset,
                          eval_dataset=eval_dataset)
text_generation.set_recompute_config(recompute=True)
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working directory, and small stand-ins under the published names in a local mirror."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MF_MODELS", str(tmp_path / "mirror"))
    set_seed(0)
    small = {"hidden_size": 16, "num_layers": 1, "num_heads": 2}
    gpt2 = AutoModel.from_config(GPT2Config(**small, **OFF, seq_length=256))
    gpt2.save_pretrained(tmp_path / "mirror" / "gpt2")
    pangu = AutoModel.from_config(PanguAlphaConfig(**small, ffn_hidden_size=64, vocab_size=100, seq_length=1024))
    pangu.save_pretrained(tmp_path / "mirror" / "pangualpha_2_6b")
    return tmp_path


def script(*blocks):
    names = {"np": np}
    for block in (CONTEXT, *blocks):
        exec(block, names)
    return names


def short(trainer, steps=2):
    """Let the document's three passes end after a few steps."""
    trainer.args.max_steps = steps
    trainer.args.output_dir = "./output"
    with pytest.warns(UserWarning, match="sink_mode: data is not sunk"):
        return trainer.train()


def test_a_model_and_datasets_by_name(home):
    for name in ("train", "eval"):
        (home / name).mkdir()
        texts = [{"text": f"The fox number {n} met an owl in the wood, and they went on together."} for n in range(200)]
        write_jsonl(home / name / "stories.jsonl", texts)
    trainer = script(ARGUMENTS, BY_NAME)["text_generation"]
    result = short(trainer)
    assert result.tokens > 1000
    metrics = trainer.evaluate()
    assert metrics["loss"] > 0 and metrics["perplexity"] > 1
    (prediction,) = trainer.predict(input_data="I love Beijing, because", max_length=12, top_k=3)
    assert prediction["text_generation_text"][0].startswith("I love Beijing, because")
    assert {path.name for path in home.iterdir()} == {"mirror", "train", "eval", "output"}


def test_a_model_object_and_datasets_that_batch_themselves(home):
    names = script(ARGUMENTS, DATASET, BY_OBJECT)
    trainer, model = names["text_generation"], names["pangu_model"]
    assert trainer.model is model
    result = short(trainer)
    assert 0 < result.tokens <= 2 * 4 * 1024  # the ids that the document draws may be PanGu-alpha's pad
    assert trainer.evaluate()["tokens"] > 0
    assert AutoConfig.from_pretrained("./output").model_type == "pangualpha"


def test_recomputation_of_a_model_from_its_configuration(home):
    names = script(ARGUMENTS, DATASET, FROM_CONFIG)
    trainer, model = names["text_generation"], names["pangu_model"]
    assert (model.config.num_layers, model.config.hidden_size, trainer.model is model) == (12, 768, True)
    assert trainer.recompute_config.recompute


def test_mindrecord_files_as_mindformers_scripts_write_them(home):
    from mindspore.mindrecord import FileWriter

    for name in ("train", "eval"):
        (home / name).mkdir()
        writer = FileWriter(str(home / name / "wiki.mindrecord"), shard_num=1)
        writer.add_schema({"input_ids": {"type": "int32", "shape": [-1]}}, "as preprocessing scripts do")
        writer.write_raw_data([{"input_ids": row} for row in counting_rows(16, 257)])
        writer.commit()
    trainer = script(ARGUMENTS, BY_NAME)["text_generation"]
    before = weights_of(trainer.model)
    assert short(trainer).tokens == 2 * 2 * 256
    assert trainer.evaluate()["tokens"] == 16 * 256
    with pytest.raises(AssertionError):
        assert_equal_weights(before, weights_of(trainer.model))
