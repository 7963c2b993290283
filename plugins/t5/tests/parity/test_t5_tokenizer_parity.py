"""``spiece.model`` and ``tokenizer.json`` against transformers' tokenizer."""

import pytest

transformers = pytest.importorskip("transformers")
sentencepiece = pytest.importorskip("sentencepiece")

from mf_core import AutoTokenizer  # noqa: E402
from mf_core.errors import IntegrityError  # noqa: E402

pytestmark = pytest.mark.parity

TEXTS = (
    "The cats sat.", " two  spaces ", "", "ﬁne café №5", "<extra_id_0> the <extra_id_1>", "unseen 猫 letters </s> end",
)  # fmt: skip
WORDS = "the cats sat on a mat and two dogs ran fine cafe over No 5 spaces"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a directory with a model of pieces, trained as T5's was."""
    folder = tmp_path_factory.mktemp("pieces")
    words = WORDS.split()
    lines = [" ".join(words[i:] + words[:i]) for i in range(len(words))]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(folder / "spiece"), model_type="unigram", vocab_size=60,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    (folder / "config.json").write_text('{"model_type": "t5"}')
    return folder


def test_pieces(folder, tmp_path):
    theirs = transformers.T5Tokenizer.from_pretrained(folder)
    ours = AutoTokenizer.from_pretrained(folder)
    assert len(ours) == len(theirs)
    for text in TEXTS:
        assert ours(text)["input_ids"] == theirs(text)["input_ids"], text
        ids = theirs(text)["input_ids"]
        assert ours.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True)
    assert ours("the cats", "a mat")["input_ids"] == theirs("the cats", "a mat")["input_ids"]
    theirs.save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs" / "config.json").write_text('{"model_type": "t5"}')
    ours.save_pretrained(tmp_path / "ours")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")
    for text in TEXTS:
        assert AutoTokenizer.from_pretrained(tmp_path / "theirs")(text)["input_ids"] == theirs(text)["input_ids"]
        assert again(text)["input_ids"] == theirs(text)["input_ids"]


def test_damaged_file(folder, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    for data in ((folder / "spiece.model").read_bytes()[:-200], b"not pieces"):
        (tmp_path / "spiece.model").write_bytes(data)
        with pytest.raises(IntegrityError, match=r"spiece\.model"):
            AutoTokenizer.from_pretrained(tmp_path)
