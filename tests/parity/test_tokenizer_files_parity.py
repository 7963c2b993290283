"""Folders with tokenizers, as several versions of ``transformers`` write them: read as it reads them itself."""

import pytest

transformers = pytest.importorskip("transformers")

from mf_core import AutoTokenizer  # noqa: E402

from ..support.tokenizer_folders import FOLDERS, TEXTS  # noqa: E402

pytestmark = pytest.mark.parity

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "cls_token", "mask_token")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_read_as_transformers_reads_it(name, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    FOLDERS[name](folder)
    ours, theirs = AutoTokenizer.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    pairs = {
        "read": (ours, theirs),
        "read from what we saved": (ours, transformers.AutoTokenizer.from_pretrained(tmp_path / "ours")),
        "read from what it saved": (AutoTokenizer.from_pretrained(tmp_path / "theirs"), theirs),
    }
    for label, (one, other) in pairs.items():
        for text in TEXTS:
            for special in (True, False):
                ids = other(text, add_special_tokens=special)["input_ids"]
                assert one(text, add_special_tokens=special)["input_ids"] == ids, (label, text)
            for skip in (True, False):
                expected = other.decode(ids, skip_special_tokens=skip)
                assert one.decode(ids, skip_special_tokens=skip) == expected, (label, text)
        assert {token: getattr(one, token) for token in NAMED} == {token: getattr(other, token) for token in NAMED}
        assert one.chat_template == other.chat_template
        assert min(one.model_max_length, 10**18) == min(other.model_max_length, 10**18)
        assert len(one) == len(other)
