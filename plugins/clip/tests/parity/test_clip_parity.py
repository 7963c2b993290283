"""CLIP against transformers with the same weights and files, and back."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from mindspore import Tensor  # noqa: E402
from PIL import Image  # noqa: E402

from mf_core import AutoModel, AutoProcessor, AutoTokenizer, Trainer, TrainingArguments, pipeline  # noqa: E402

pytestmark = pytest.mark.parity

WORDS = ["a", "photo", "of", "this", "is", "red", "blue", "square", "disc", "."]
TOWER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
         "initializer_range": 0.3}  # fmt: skip


def vocabulary():
    """Return a vocabulary of letters and of some words, and its merges."""
    letters = sorted({letter for word in WORDS for letter in word} | set("!éxyz"))
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted({*letters, *ByteLevel.alphabet()})
    tokens, merges = [*letters, *(f"{letter}</w>" for letter in letters)], []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merge = (parts[0], parts[1])
            if merge not in merges:
                merges.append(merge)
                tokens.append("".join(merge))
            parts = ["".join(merge), *parts[2:]]
    return {token: number for number, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}, merges


@pytest.fixture(scope="module", params=["eos", "old"])
def pair(request, tmp_path_factory):
    """Return transformers' model, ours from its directory, and the directory."""
    torch.manual_seed(1)
    words, merges = vocabulary()
    end = words["<|endoftext|>"]
    text = {**TOWER, "vocab_size": len(words), "max_position_embeddings": 16, "bos_token_id": end - 1,
            "pad_token_id": end, "eos_token_id": end if request.param == "eos" else 2}  # fmt: skip
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**TOWER, "image_size": 16, "patch_size": 4}, projection_dim=12
    )
    theirs = transformers.CLIPModel(config).eval()
    for key, parameter in theirs.named_parameters():
        if parameter.ndim == 1:  # biases of 0 and norms of 1 would hide that they are not used
            torch.nn.init.normal_(parameter, float("norm" in key.lower() and "weight" in key), 0.1)
    folder = tmp_path_factory.mktemp("clip")
    theirs.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(words))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer", "model_max_length": 16}')
    transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}
    ).save_pretrained(folder)
    return theirs, AutoModel.from_pretrained(folder), folder


@pytest.fixture(scope="module")
def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8))


def test_outputs(pair):
    theirs, ours, folder = pair
    generator = np.random.default_rng(0)
    pixels = generator.standard_normal((3, 3, 16, 16)).astype(np.float32)
    rows = AutoTokenizer.from_pretrained(folder)(["a photo of a red disc", "blue"], padding=True, return_tensors="np")
    ids, mask = rows["input_ids"].astype(np.int32), rows["attention_mask"].astype(np.int32)
    with torch.no_grad():
        want = theirs(input_ids=torch.tensor(ids), pixel_values=torch.tensor(pixels), attention_mask=torch.tensor(mask))
    got = ours(Tensor(ids), Tensor(pixels), Tensor(mask))
    for one, name in zip(got, ("logits_per_image", "logits_per_text", "text_embeds", "image_embeds"), strict=True):
        other = want[name].numpy()
        assert one.shape == other.shape
        assert np.abs(one.asnumpy() - other).max() <= 1e-5 * np.abs(other).max()


def test_what_is_saved_is_read_by_transformers(pair, tmp_path):
    theirs, ours, folder = pair
    ours.save_pretrained(tmp_path)
    again, report = type(theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, dict(theirs.named_parameters())[name])
    before, after = (json.loads((place / "config.json").read_text()) for place in (folder, tmp_path))
    before.pop("transformers_version"), after.pop("transformers_version")
    assert {key: after.get(key) for key in before} == before


def test_tokenizer_and_processor(pair, picture, tmp_path):
    _, _, folder = pair
    theirs = transformers.CLIPTokenizer.from_pretrained(folder)
    ours = AutoTokenizer.from_pretrained(folder)
    for text in ("A photo of a  RED disc.", "Café 12 it's!", "", "<|endoftext|>blue", "x" * 9, "日本"):
        assert ours(text)["input_ids"] == theirs(text)["input_ids"], text
    ours.save_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert again("A photo of a disc")["input_ids"] == theirs("A photo of a disc")["input_ids"]
    assert ours.decode(ours("a photo of a disc")["input_ids"], skip_special_tokens=True) == "a photo of a disc"
    processor = AutoProcessor.from_pretrained(folder, return_tensors="np")
    both = processor(["a disc", "a blue square"], [picture])
    want = transformers.CLIPImageProcessorPil.from_pretrained(folder)(picture, return_tensors="np")["pixel_values"]
    assert np.array_equal(both["pixel_values"], want)
    assert both["input_ids"].tolist() == theirs(["a disc", "a blue square"], padding=True)["input_ids"]
    processor.save_pretrained(tmp_path)
    back = AutoProcessor.from_pretrained(tmp_path, return_tensors="np")
    assert np.array_equal(back(images=picture)["pixel_values"], want)


def test_zero_shot(pair, picture):
    theirs, _, folder = pair
    labels = ["red disc", "blue square", "photo"]
    expected = transformers.pipeline(
        "zero-shot-image-classification", model=theirs, tokenizer=transformers.CLIPTokenizer.from_pretrained(folder),
        image_processor=transformers.CLIPImageProcessorPil.from_pretrained(folder),
    )(picture, candidate_labels=labels)  # fmt: skip
    (found,) = pipeline("zero_shot_image_classification", folder)(picture, candidate_labels=labels)
    assert [each["label"] for each in found] == [each["label"] for each in expected]
    assert [each["score"] for each in found] == pytest.approx([each["score"] for each in expected], abs=1e-5)


def test_ten_steps(pair, tmp_path):
    folder, generator = pair[2], np.random.default_rng(0)
    data = [{"image": generator.integers(0, 256, (20, 24, 3)).astype(np.uint8), "text": text}
            for text in ("a red disc", "this is a blue square", "photo of a photo")]  # fmt: skip
    args = TrainingArguments(
        output_dir=str(tmp_path), max_steps=10, batch_size=3, learning_rate=1e-4, logging_steps=1, save_strategy="no",
        seed=1, weight_decay=0.0, lr_scheduler_type="constant", max_grad_norm=1e9, adam_epsilon=1e-8,
    )  # fmt: skip
    trainer = Trainer(args, "contrastive_language_image_pretrain", model=str(folder), train_dataset=data)
    ids, mask, pixels = map(torch.tensor, trainer.recipe.collate(trainer.recipe.examples(data)))
    trainer.train()
    found = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    model = transformers.CLIPModel.from_pretrained(folder).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, eps=1e-8, weight_decay=0.0)
    want = []
    for _ in range(10):
        loss = model(input_ids=ids, pixel_values=pixels, attention_mask=mask, return_loss=True).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        want.append(loss.item())
    assert found == pytest.approx(want, abs=1e-5, rel=1e-5)
