"""The core's tasks on a tiny BERT: what they give, what they refuse, and that they train."""

import json
import warnings

import numpy as np
import pytest

from mf_core import AutoConfig, AutoModelForSequenceClassification, Trainer, TrainingArguments, pipeline
from mf_core.errors import ArgumentError, ArgumentTypeError, DataError, InputTooLongError, UnsupportedError

WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "sun", "rain", "is", "warm", "cold", "wet", "ann", "bob",
    "lives", "in", "paris", "rome", "who", "where", "?", ".", "##s", "very",
]  # fmt: skip
CONFIG = {
    "model_type": "bert", "vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 24, "initializer_range": 0.5, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0, "pad_token_id": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    """Return the directory of a body without a head."""
    from mf_core import AutoModel

    folder = tmp_path_factory.mktemp("body")
    np.random.seed(0)
    AutoModel.from_config(AutoConfig.from_config(CONFIG)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def task(body):
    """Return a function that makes a task's pipeline, with a new head."""
    made = {}

    def make(name, **options):
        if name not in made:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*are initialised")
                made[name] = pipeline(name, body, **options)
        return made[name]

    return make


def test_fill_mask(task):
    fill = task("fill-mask")
    one = fill("the [MASK] is warm", top_k=3)
    assert [set(found) for found in one] == [{"score", "token", "token_str", "sequence"}] * 3
    assert one[0]["score"] >= one[1]["score"]
    assert one[0]["token_str"] == WORDS[one[0]["token"]]
    both = fill(["the [MASK] is warm", "[MASK] lives in [MASK]"], top_k=3)
    assert [found["token"] for found in both[0]] == [found["token"] for found in one]
    assert [len(found) for found in both[1]] == [3, 3]
    with pytest.raises(ArgumentError, match=r"no \[MASK\] in 'the sun'"):
        fill("the sun")


def test_text_classification(task):
    classify = task("text_classification")
    (one,) = classify("the sun")
    assert set(one[0]) == {"label", "score"}
    assert len(one) == 1
    pair = classify(("the sun", "rain is wet"), top_k=None)
    assert pair == classify({"text": "the sun", "text_pair": "rain is wet"}, top_k=None)
    assert sum(each["score"] for each in pair[0]) == pytest.approx(1)
    texts = ["the sun", "rain is very very wet", "ann"]
    together = classify(texts, top_k=None)
    for number, found in enumerate(classify(text for text in texts)):
        assert found[0]["label"] == together[number][0]["label"]
        assert found[0]["score"] == pytest.approx(together[number][0]["score"], abs=1e-5)
    with pytest.raises(UnsupportedError, match="label entailment"):
        classify("the sun", candidate_labels=["rain"])
    with pytest.raises(ArgumentTypeError, match="takes texts, not int"):
        classify(["the sun", 3])
    with pytest.raises(ArgumentError, match="no argument 'topk'"):
        classify("the sun", topk=1)


def test_long_texts_are_refused_or_cut_with_a_warning(task):
    classify = task("text_classification")
    long = "the sun is warm " * 10
    with pytest.raises(InputTooLongError, match="42 tokens, and the limit is 24"):
        classify(long)
    with pytest.warns(UserWarning, match="1 of 2 texts were cut to 24 tokens"):
        cut = classify([long, "rain"], truncation=True)
    assert cut[0][0]["score"] == pytest.approx(classify("the sun is warm " * 5 + "the sun")[0][0]["score"], abs=1e-5)


def test_token_classification(task):
    found = task("token_classification")("Anns lives in Rome", ignore_labels=(), aggregation_strategy="none")[0]
    assert [(each["word"], each["start"], each["end"]) for each in found] == [
        ("ann", 0, 3), ("##s", 3, 4), ("lives", 5, 10), ("in", 11, 13), ("rome", 14, 18)
    ]  # fmt: skip
    words = task("token_classification")("Anns lives in Rome", ignore_labels=(), aggregation_strategy="first")[0]
    assert words[0]["start"] == 0
    assert words[-1]["end"] == 18
    assert all(each["end"] != 3 for each in words)


def test_question_answering_reads_long_contexts_in_windows(task):
    answer = task("question_answering")
    context = "the sun is warm . bob lives in rome . the rain is wet and very cold . ann lives in paris ."
    question = {"question": "where is ann ?", "context": context}
    found = answer(question, top_k=30, stride=4, max_answer_length=3)
    for each in found:
        assert context[each["start"] : each["end"]] == each["text"]
    assert max(each["end"] for each in found) > len("the sun is warm . bob lives in rome . the rain is")
    assert [each["score"] for each in found] == sorted((each["score"] for each in found), reverse=True)
    assert answer([question, question], stride=4)[1] == answer(question, stride=4)
    with pytest.raises(ArgumentTypeError, match="question and context"):
        answer("where is ann ?")
    with pytest.raises(ArgumentError, match="leave"):
        answer({"question": "where is ann ? " * 6, "context": context})


def test_feature_extraction(task):
    encode = task("feature_extraction")
    vectors = encode(["the sun", "rain is very wet"])
    assert vectors.shape == (2, 16)
    assert np.abs(encode("the sun")[0] - vectors[0]).max() < 1e-5
    assert np.linalg.norm(encode("ann", normalize=True)) == pytest.approx(1)
    for pooling in ("cls", "last"):
        assert np.abs(encode("the sun", pooling=pooling) - vectors[:1]).max() > 1e-3
    with pytest.raises(ArgumentError, match="none of mean, cls, last"):
        encode("ann", pooling="max")


DATA = {
    "text_classification": [{"text": "the sun is warm", "label": "good"}, {"text": "rain is wet", "label": "bad"},
                            {"text": "the sun", "label": "good"}],
    "token_classification": [{"tokens": ["Anns", "lives", "in", "Rome"], "labels": ["B-PER", "O", "O", "B-LOC"]},
                             {"tokens": ["the", "sun"], "labels": ["O", "O"]}],
    "question_answering": [{"question": "who ?", "context": "ann lives in rome .",
                            "answers": {"text": ["ann"], "answer_start": [0]}},
                           {"question": "where ?", "context": "ann lives in rome .",
                            "answers": {"text": ["rome"], "answer_start": [13]}}],
    "masked_language_modeling": ["the sun is warm .", "rain is wet and cold .", "ann lives in rome"],
}  # fmt: skip
METRICS = {
    "text_classification": {"loss", "examples", "accuracy"},
    "token_classification": {"loss", "tokens", "precision", "recall", "f1", "accuracy"},
    "question_answering": {"loss", "examples", "exact_match", "f1"},
    "masked_language_modeling": {"loss", "tokens", "perplexity"},
}  # fmt: skip


def trainer_of(name, model, folder, data, **settings):
    args = TrainingArguments(
        output_dir=str(folder), batch_size=2, learning_rate=3e-3, logging_steps=10, save_strategy="no", seed=1,
        warmup_steps=0, weight_decay=0.0, **settings,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*are initialised")
        return Trainer(args, name, model=str(model), train_dataset=data, eval_dataset=data)


@pytest.mark.parametrize(
    "name", [name if name == "text_classification" else pytest.param(name, marks=pytest.mark.slow) for name in DATA]
)
def test_task_trains_evaluates_and_predicts(name, body, tmp_path):
    trainer = trainer_of(name, body, tmp_path, DATA[name], max_steps=25)
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert set(after) == METRICS[name]
    assert after["loss"] < before["loss"] - 0.1
    if name == "text_classification":
        assert trainer.model.config.labels == ["bad", "good"]
        assert after["accuracy"] == 1
        assert trainer.predict(input_data="the sun is warm")[0][0]["label"] == "good"
        trainer.model.save_pretrained(tmp_path / "saved")
        saved = json.loads((tmp_path / "saved" / "config.json").read_text())
        assert saved["id2label"] == {"0": "bad", "1": "good"}
        again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
        assert again.config.labels == ["bad", "good"]
    if name == "token_classification":
        assert trainer.model.config.labels == ["B-LOC", "B-PER", "O"]


def test_labels_that_the_head_lacks_are_named_with_their_record(body, tmp_path):
    rows = "text,label\nthe sun,good\nrain,awful\n"
    (tmp_path / "rows.csv").write_text(rows)
    model = AutoModelForSequenceClassification.from_config(
        AutoConfig.from_config(CONFIG, id2label={0: "good", 1: "bad"})
    )
    args = TrainingArguments(output_dir=str(tmp_path / "run"), max_steps=1)
    from mf_core import AutoTokenizer

    trainer = Trainer(args, "text_classification", model=model, tokenizer=AutoTokenizer.from_pretrained(body),
                      train_dataset=str(tmp_path / "rows.csv"))  # fmt: skip
    with pytest.raises(DataError, match=r"rows\.csv.*no label 'awful'") as caught:
        trainer.train()
    assert "good, bad" in caught.value.why


def test_entities_count_as_a_whole():
    from mf_core.tasks.entities import entities, entity_scores

    assert entities(["B-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-PER"]) == {
        ("PER", 0, 1), ("LOC", 3, 3), ("LOC", 4, 4), ("PER", 5, 5)
    }  # fmt: skip
    scores = entity_scores([["B-PER", "O", "B-LOC"]], [["B-PER", "I-PER", "B-LOC"]])
    assert scores == {"precision": 0.5, "recall": 0.5, "f1": 0.5}


def test_command_runs_a_task(task, body, tmp_path, capsys):
    from mf_core.cli import main

    model = task("text_classification").model
    model.save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text((body / "vocab.txt").read_text())
    common = ["run", "text-classification", "the sun", '{"text": "ann", "text_pair": "bob"}', "--model", str(tmp_path)]
    assert main([*common, "--json", "--option", "top_k=2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [len(result) for result in found] == [2, 2]
    assert found[0][0]["score"] == pytest.approx(task("text_classification")("the sun")[0][0]["score"], abs=1e-5)
    assert main(common) == 0
    assert "label=LABEL_" in capsys.readouterr().out
    assert main([*common, "--option", "topk=2"]) == 2
    assert "topk" in capsys.readouterr().err
