"""Translation and summarization with a tiny T5: what they give, what they refuse, and that they train."""

import json
import warnings

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors

from mf_core import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer, Trainer, TrainingArguments, pipeline
from mf_core.errors import ArgumentError, ArgumentTypeError, DataError, InputTooLongError

WORDS = [
    "<pad>", "</s>", "<unk>", "▁", "▁the", "▁cat", "▁dog", "▁sleeps", "▁runs", "▁小猫", "▁小狗", "▁睡觉", "▁跑步",
    "▁translate:", "s", "e", "a",
]  # fmt: skip
CONFIG = {
    "model_type": "t5", "vocab_size": len(WORDS), "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 12, "dropout_rate": 0.0, "n_positions": 8,
}  # fmt: skip
PAIRS = [
    ("the cat sleeps", "小猫 睡觉"), ("the dog runs", "小狗 跑步"), ("the cat runs", "小猫 跑步"),
    ("the dog sleeps", "小狗 睡觉"),
]  # fmt: skip


def write_tokenizer(folder):
    """Write a ``tokenizer.json`` of whole words, as transformers writes T5's."""
    backend = tokenizers.Tokenizer(models.Unigram([(word, -1.0) for word in WORDS], unk_id=2, byte_fallback=False))
    backend.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", prepend_scheme="always", split=True)
    ])  # fmt: skip
    backend.decoder = decoders.Metaspace("▁", prepend_scheme="always", split=True)
    backend.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    backend.add_special_tokens(["<pad>", "</s>", "<unk>"])
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer"}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the directory of a random model with its tokenizer."""
    folder = tmp_path_factory.mktemp("t5")
    np.random.seed(0)
    AutoModelForSeq2SeqLM.from_config(AutoConfig.from_config(CONFIG)).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """Return a trainer that has learnt to translate, with its evaluations before and after."""
    data = [{"translation": {"en": source, "zh": target}} for source, target in PAIRS]
    args = TrainingArguments(
        output_dir=str(tmp_path_factory.mktemp("run")), batch_size=4, learning_rate=2e-2, max_steps=60,
        logging_steps=30, save_strategy="no", seed=1, warmup_steps=0, weight_decay=0.0,
    )  # fmt: skip
    trainer = Trainer(args, "translation", model=str(folder), train_dataset=data, eval_dataset=data)
    before = trainer.evaluate()
    trainer.train()
    return trainer, before, trainer.evaluate()


def test_training_learns_to_translate(trained):
    trainer, before, after = trained
    assert {"loss", "tokens"} <= set(after)
    assert after["tokens"] == 12
    assert after["loss"] < 0.1 < before["loss"]
    assert trainer.predict(input_data=[source for source, _ in PAIRS]) == [
        {"translation_text": [target]} for _, target in PAIRS
    ]


def test_evaluation_reports_bleu(trained):
    pytest.importorskip("sacrebleu")
    _, before, after = trained
    assert after["bleu"] == pytest.approx(100)
    assert before["bleu"] < 60


def test_pipelines(trained):
    trainer, *_ = trained
    translate = pipeline("translation", trainer.model, trainer.tokenizer)
    assert translate("the cat runs") == [{"translation_text": ["小猫 跑步"]}]
    assert translate("cat runs", prefix="the ") == translate("the cat runs")
    both = translate(["the cat runs", "the dog"], num_beams=2, num_return_sequences=2, max_new_tokens=4)
    assert [len(result["translation_text"]) for result in both] == [2, 2]
    assert both[0]["translation_text"][0] == "小猫 跑步"
    assert list(translate(text for text, _ in PAIRS)) == translate([text for text, _ in PAIRS])
    summarize = pipeline("summarization", trainer.model, trainer.tokenizer)
    assert summarize("the cat runs") == [{"summary_text": ["小猫 跑步"]}]
    for wrong, error in ((3, ArgumentTypeError), ([], ArgumentError), ([3], ArgumentTypeError)):
        with pytest.raises(error):
            translate(wrong)
    with pytest.raises(ArgumentError, match="prefixx"):
        translate("the cat", prefixx="a")
    with pytest.raises(ArgumentTypeError, match="prefix=3"):
        translate("the cat", prefix=3)
    with pytest.raises(InputTooLongError, match="the limit is 8"):
        translate("the cat " * 20)
    with pytest.warns(UserWarning, match="1 of 1 texts were cut to 8 tokens"):
        translate("the cat " * 20, truncation=True)


def test_summarization_begins_with_the_prefix_of_the_checkpoint(trained):
    trainer, *_ = trained
    summarize = pipeline("summarization", trainer.model, trainer.tokenizer)
    trainer.model.config.extra["task_specific_params"] = {"summarization": {"prefix": "the "}}
    try:
        assert summarize("cat runs") == summarize("the cat runs", prefix="")
    finally:
        trainer.model.config.extra.pop("task_specific_params")


def test_generation_of_ids(trained):
    model = trained[0].model
    tokenizer = AutoTokenizer.from_pretrained(trained[0].model.name_or_path)
    sources = tokenizer([source for source, _ in PAIRS])["input_ids"]
    together = model.generate(sources, max_new_tokens=5)
    assert [model.generate([ids], max_new_tokens=5)[0] for ids in sources] == together
    assert all(ids[0] == 0 and ids[-1] == 1 for ids in together)
    assert model.generate(sources[:3], max_new_tokens=5, batch_size=1) == together[:3]
    assert model.generate(sources, max_new_tokens=5, prompt_lookup_num_tokens=2) == together
    assert model.generate(sources, max_new_tokens=5, temperature=1e-3, seed=1) == together
    with pytest.raises(InputTooLongError, match="encoder's context is 8"):
        model.generate([4] * 9)
    with pytest.raises(ArgumentError, match="decoder_start_token_id"):
        model.generate([4], decoder_start_token_id=None)


def test_bad_records_are_named(folder, tmp_path):
    def examples(task, data):
        args = TrainingArguments(output_dir=str(tmp_path), max_steps=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Trainer(args, task, model=str(folder), train_dataset=data).recipe.examples(data)

    assert len(examples("translation", [{"source": "the cat", "target": "猫"}])) == 1
    assert len(examples("summarization", [{"document": "the cat", "summary": "cat"}])) == 1
    with pytest.raises(DataError, match="'source'"):
        examples("translation", [{"text": "the cat"}])
    rows = [{"translation": {"en": "a", "zh": "b"}}, {"translation": {"zh": "b", "en": "a"}}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=r"rows\.jsonl:2: the languages are zh, en"):
        examples("translation", str(tmp_path / "rows.jsonl"))


def test_command_translates(trained, folder, tmp_path, capsys):
    from mf_core.cli import main

    trained[0].model.save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    assert main(["run", "translation", "cat runs", "--model", str(tmp_path), "--json", "--option", "prefix=the "]) == 0
    assert json.loads(capsys.readouterr().out) == [{"translation_text": ["小猫 跑步"]}]
