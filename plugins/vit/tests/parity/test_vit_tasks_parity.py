"""The tasks of images against transformers' pipeline, and ten training steps against torch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from PIL import Image  # noqa: E402

from mf_core import Trainer, TrainingArguments, pipeline  # noqa: E402

pytestmark = pytest.mark.parity

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "image_size": 16,
    "patch_size": 4, "initializer_range": 0.1,
}  # fmt: skip
CLASSES = {
    "image_classification": ("ViTForImageClassification", {"id2label": {0: "dark", 1: "light", 2: "none"}}),
    "masked_image_modeling": (
        "ViTMAEForPreTraining",
        {"decoder_hidden_size": 24, "decoder_num_hidden_layers": 1, "decoder_num_attention_heads": 2,
         "decoder_intermediate_size": 40, "norm_pix_loss": True},
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=CLASSES)
def saved(request, tmp_path_factory):
    """Return a task, and the directory that transformers wrote for it."""
    name, more = CLASSES[request.param]
    torch.manual_seed(0)
    cls = getattr(transformers, name)
    folder = tmp_path_factory.mktemp("saved")
    cls(cls.config_class(**SIZES, **more)).save_pretrained(folder)
    transformers.ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return request.param, folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 160)):
        (folder / name).mkdir()
        for number in range(2):
            array = generator.integers(low, low + 90, (20, 24 + number, 3)).astype(np.uint8)
            Image.fromarray(array).save(folder / name / f"{number}.png")
    return folder


def test_pipeline(saved, pictures):
    task, folder = saved
    if task != "image_classification":
        pytest.skip("transformers has no such pipeline")
    theirs = transformers.pipeline("image-classification", str(folder), top_k=3)
    ours = pipeline("image_classification", folder)
    paths = [str(path) for path in sorted(pictures.rglob("*.png"))]
    for found, want in zip(ours(paths), theirs(paths), strict=True):
        assert [each["label"] for each in found] == [each["label"] for each in want]
        assert [each["score"] for each in found] == pytest.approx([each["score"] for each in want], abs=1e-5)


def test_ten_steps(saved, pictures, tmp_path):
    task, folder = saved
    args = TrainingArguments(
        output_dir=str(tmp_path), max_steps=10, batch_size=4, learning_rate=1e-3, logging_steps=1, save_strategy="no",
        seed=1, weight_decay=0.0, lr_scheduler_type="constant", max_grad_norm=1e9, adam_epsilon=1e-8,
    )  # fmt: skip
    trainer = Trainer(args, task, model=str(folder), train_dataset=str(pictures))
    batch = trainer.recipe.collate(trainer.recipe.examples(str(pictures)))
    trainer.train()
    found = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    model = getattr(transformers, CLASSES[task][0]).from_pretrained(folder).train()
    optimizer = torch.optim.AdamW(
        [p for n, p in model.named_parameters() if "pos_embed" not in n and (task != "masked_image_modeling" or
         "position_embeddings" not in n)], lr=1e-3, eps=1e-8, weight_decay=0.0,
    )  # fmt: skip
    name = "labels" if task == "image_classification" else "noise"
    second = torch.tensor(batch[1])
    inputs = {"pixel_values": torch.tensor(batch[0]), name: second.long() if name == "labels" else second}
    want = []
    for _ in range(10):
        loss = model(**inputs).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        want.append(loss.item())
    assert found == pytest.approx(want, abs=1e-5, rel=1e-5)
