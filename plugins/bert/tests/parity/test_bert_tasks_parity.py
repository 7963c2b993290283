"""The tasks against transformers' pipelines, and training against torch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from mf_core import Trainer, TrainingArguments, pipeline  # noqa: E402

from ..test_bert_tasks import CONFIG, DATA, WORDS  # noqa: E402

pytestmark = pytest.mark.parity

LABELS = {
    "BertForSequenceClassification": ["contradiction", "neutral", "entailment"],
    "BertForTokenClassification": ["O", "B-PER", "I-PER", "B-LOC"],
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a function that writes a random checkpoint of transformers, with a tokenizer."""

    def write(cls):
        folder = tmp_path_factory.mktemp(cls)
        torch.manual_seed(2)
        names = LABELS.get(cls, ["LABEL_0", "LABEL_1"])
        sizes = {key: value for key, value in CONFIG.items() if key != "model_type"}
        config = transformers.BertConfig(
            **sizes, id2label=dict(enumerate(names)), label2id={name: i for i, name in enumerate(names)}
        )
        getattr(transformers, cls)(config).eval().save_pretrained(folder)
        (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
        transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
        return folder

    return write


def same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        assert one["score"] == pytest.approx(float(other["score"]), abs=1e-5)
        assert {**one, "score": 0} == {**other, "score": 0}


def test_fill_mask(saved):
    folder = saved("BertForMaskedLM")
    ours, theirs = pipeline("fill_mask", folder), transformers.pipeline("fill-mask", str(folder))
    same(ours("the [MASK] is warm ."), theirs("the [MASK] is warm ."))
    for one, other in zip(ours("ann [MASK] in [MASK]"), theirs("ann [MASK] in [MASK]"), strict=True):
        same(one, other)


def test_text_classification(saved):
    folder = saved("BertForSequenceClassification")
    ours, theirs = pipeline("text_classification", folder), transformers.pipeline("text-classification", str(folder))
    texts = ["the sun is warm", "ann"]
    for one, other in zip(ours(texts, top_k=None), theirs(texts, top_k=None), strict=True):
        same(one, other)
    same(ours(("the sun", "rain is wet"))[0], [theirs({"text": "the sun", "text_pair": "rain is wet"})])
    zero_shot = transformers.pipeline("zero-shot-classification", str(folder))
    for multi_label in (False, True):
        options = {"candidate_labels": ["rain", "paris", "sun"], "multi_label": multi_label}
        want = zero_shot("the sun is warm", **options)
        found = ours("the sun is warm", **options)[0]
        assert [each["label"] for each in found] == want["labels"]
        assert [each["score"] for each in found] == pytest.approx(want["scores"], abs=1e-5)


@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_token_classification(saved, strategy):
    folder = saved("BertForTokenClassification")
    theirs = transformers.pipeline("token-classification", str(folder), aggregation_strategy=strategy)
    ours = pipeline("token_classification", folder, aggregation_strategy=strategy, ignore_labels=[])
    for text in ("Anns lives in Paris and bobs is very wet.", "the suns is cold"):
        same(ours(text)[0], theirs(text, ignore_labels=[]))


CLASSES = {
    "text_classification": "BertForSequenceClassification", "token_classification": "BertForTokenClassification",
    "question_answering": "BertForQuestionAnswering", "masked_language_modeling": "BertForMaskedLM",
}  # fmt: skip


@pytest.mark.parametrize("task", list(CLASSES))
def test_ten_steps(saved, task, tmp_path):
    folder = saved(CLASSES[task])
    data = DATA[task][:2]
    names = LABELS.get(CLASSES[task])
    if task == "text_classification":
        data = [{**row, "label": names[i]} for i, row in enumerate(data)]
    args = TrainingArguments(
        output_dir=str(tmp_path), max_steps=10, batch_size=2, learning_rate=1e-3, logging_steps=1, save_strategy="no",
        seed=1, weight_decay=0.0, lr_scheduler_type="constant", max_grad_norm=1e9, adam_epsilon=1e-8,
        # Without padding, whose embedding torch does not train and whose scores are part of answers' losses.
        max_seq_length=10 if task == "question_answering" else None,
    )  # fmt: skip
    trainer = Trainer(args, task, model=str(folder), train_dataset=data)
    examples = trainer.recipe.examples(data)
    ids, mask, types, labels = (torch.tensor(array).long() for array in trainer.recipe.collate(examples))
    trainer.train()
    found = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    model = getattr(transformers, CLASSES[task]).from_pretrained(folder).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-8, weight_decay=0.0)
    targets = {"labels": labels}
    if task == "question_answering":
        targets = {"start_positions": labels[:, 0], "end_positions": labels[:, 1]}
    want = []
    for _ in range(10):
        loss = model(ids, attention_mask=mask, token_type_ids=types, **targets).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        want.append(loss.item())
    assert np.abs(np.array(found) - want).max() <= 1e-5 * max(want)
