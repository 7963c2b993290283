"""What holds for every tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from ...boundary import unforeseen
from ...errors import MFError, describe
from ...specs import TokenizerSpec
from ..processes import probes
from ..processes.run import across_spawn, in_fresh_process
from .contract import once
from .default_subjects import offline_preset, sample_texts
from .plugin import PluginContract

#: What vocabularies may lack: emoji of several characters, controls, right-to-left text, a private character.
_ODD = ("🧪👩‍👩‍👧", "\x00\x1b[31m\t\r\n", "שלום مرحبا", "\ue000\u200b\ufeff", "é" * 50, " ")


class TokenizerContract(PluginContract):
    """Text becomes ids and comes back, alone or in a batch, in this process and the next.

    Attributes:
        model_type: The family.
        source: What ``from_pretrained`` takes: a preset or a folder; None: the family's first preset whose vocabulary
            is there offline.
        texts: Texts that the vocabulary covers: encoding and decoding gives them back. None: texts are made of the
            vocabulary's own tokens.
    """

    model_type: ClassVar[str]
    source: ClassVar[str | Path | None] = None
    texts: ClassVar[Sequence[str] | None] = None

    def subject(self) -> str:
        """See the base class."""
        return f"the tokenizer of {self.model_type}, from {self.source or 'the first preset that is here'}"

    @once
    def location(self) -> str:
        """What the tokenizer is read from."""
        return str(self.source) if self.source is not None else offline_preset(self, "tokenizer")

    @once
    def tokenizer_class(self) -> Any:
        """The tokenizer's class."""
        return self._load_light(self.spec_of(TokenizerSpec, model_type=self.model_type).target)

    @once
    def tokenizer(self) -> Any:
        """The tokenizer."""
        return self.read()

    def read(self, **options: Any) -> Any:
        """Return the tokenizer, read again with options."""
        return self.tokenizer_class.from_pretrained(self.location, **options)

    @once
    def samples(self) -> list[str]:
        """The texts of the checks, two at least."""
        texts = list(self.texts) if self.texts is not None else sample_texts(self.tokenizer)
        self.expect(texts, "there are no texts to try", "set `texts` to some that the vocabulary covers")
        return texts if len(texts) > 1 else [*texts, texts[0] * 2]

    def plain(self, text: str) -> list[int]:
        """Return the ids of a text without special tokens."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    # Checks ---------------------------------------------------------------------------------------------------------

    def test_texts_come_back(self) -> None:
        """A model writes ids; what they are decoded to is what users read."""
        for text in self.samples:
            back = self.tokenizer.decode(self.plain(text))
            self.expect(back == text, f"{text!r} comes back as {back!r}",
                        "see encode_text and decode_ids; or set `texts` to texts that the vocabulary covers")

    def test_ids_are_in_the_vocabulary(self) -> None:
        """An id beyond the model's table reads as zeros in MindSpore, without a word."""
        size = self.tokenizer.max_id + 1
        for text in (*self.samples, *_ODD):
            ids = self._encode_or_refuse(text)
            outside = [index for index in ids if not 0 <= index < size]
            self.expect(not outside, f"{text!r} gives the id {outside[:1]}, and the vocabulary has {size} entries")
        self._check_against_config(size)

    def test_tokens_and_ids_name_each_other(self) -> None:
        """Special tokens, and what the trainer masks, are found by these look-ups."""
        tokenizer, size = self.tokenizer, self.tokenizer.max_id + 1
        ids = sorted({*range(min(size, 64)), size - 1, *(index for text in self.samples for index in self.plain(text))})
        if size > len(tokenizer):  # a vocabulary may leave ids out
            ids = [index for index in ids if tokenizer.id_to_token(index) is not None]
        for index in ids:
            token = tokenizer.id_to_token(index)
            self.expect(isinstance(token, str), f"id_to_token({index}) is {token!r}")
            back = tokenizer.token_to_id(token)
            self.expect(back == index, f"the id {index} is the token {token!r}, whose id is {back!r}")
        for nothing in (size, -1):
            token = self._quietly(partial(tokenizer.id_to_token, nothing), f"id_to_token({nothing})")
            self.expect(token is None, f"id_to_token({nothing}) is {token!r}; it has to be None")
        unknown = self._quietly(lambda: tokenizer.token_to_id("no such token, surely"), "token_to_id of no token")
        self.expect(unknown is None, f"the id of a token that there is not is {unknown!r}; it has to be None")

    def test_special_tokens_are_put_and_left_out(self) -> None:
        """Training data with a missing or doubled BOS or EOS gives a model that does not end."""
        text = self.samples[0]
        plain, tokenizer = self.plain(text), self.tokenizer
        before, after = tokenizer.special_ids()
        called = tokenizer(text)["input_ids"]
        self.expect(called == [*before, *plain, *after], f"a call on {text!r} gives {called}; its text is {plain}",
                    "encode_text returns the ids of the text alone; add_bos_token and add_eos_token say the rest")
        bare = tokenizer(text, add_special_tokens=False)["input_ids"]
        self.expect(bare == plain, f"add_special_tokens=False gives {bare}; encode gives {plain}")
        read = tokenizer.decode(called, skip_special_tokens=True)
        self.expect(read == tokenizer.decode(plain), f"skip_special_tokens=True leaves {read!r} of {text!r}")

    def test_padding_is_on_the_side_that_was_asked_for(self) -> None:
        """Generation pads on the left, training on the right; the wrong one puts padding where the text continues."""
        if self.tokenizer.pad_token_id is None:
            self.skip("there is no pad token")
        long, short = sorted(self.samples, key=lambda text: len(self.plain(text)))[-1], self.samples[0]
        for side in ("left", "right"):
            tokenizer = self.read(padding_side=side)
            rows = tokenizer([short, long + long], padding=True, add_special_tokens=False)
            ids, mask, own = rows["input_ids"][0], rows["attention_mask"][0], self.plain(short)
            missing = len(rows["input_ids"][1]) - len(own)
            pads, kept = [tokenizer.pad_token_id] * missing, [1] * len(own)
            left = side == "left"
            self.expect(ids == (pads + own if left else own + pads), f"padding_side={side!r} gives {ids} for {own}")
            self.expect(mask == ([0] * missing + kept if left else kept + [0] * missing),
                        f"padding_side={side!r} gives the attention_mask {mask}")  # fmt: skip

    def test_truncation_keeps_the_length(self) -> None:
        """A row that is longer than the model's context is refused, or read wrongly."""
        text = max(self.samples, key=lambda sample: len(self.plain(sample))) * 2
        own = self.plain(text)
        if len(own) < 2:
            self.skip("no text of the checks has two tokens")
        for side, wanted in (("right", own[: len(own) - 1]), ("left", own[1:])):
            cut = self.read(truncation_side=side)(
                text, truncation=True, max_length=len(own) - 1, add_special_tokens=False
            )["input_ids"]
            self.expect(cut == wanted, f"truncation_side={side!r} gives {cut} of {own}")

    def test_batch_gives_what_texts_give(self) -> None:
        """Data is tokenised in batches, prompts alone; they have to be the same ids."""
        alone = [self.plain(text) for text in self.samples]
        together = self.tokenizer(self.samples, add_special_tokens=False)["input_ids"]
        self.expect(together == alone, f"a list of texts gives {together}; one by one they give {alone}")
        batch = [list(map(int, row)) for row in self.tokenizer.encode_batch(self.samples)]
        self.expect(batch == alone, f"encode_batch gives {batch}; encode gives {alone}")
        with ThreadPoolExecutor(8) as pool:
            threaded = list(pool.map(self.plain, self.samples * 8))
        self.expect(threaded == alone * 8, "texts that are tokenised in several threads give other ids",
                    "keep no state between calls of encode_text")  # fmt: skip

    def test_offsets_point_into_the_text(self) -> None:
        """Answers and entities are cut out of a text by them."""
        for text in self.samples:
            rows = self.tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
            ids, spans = rows["input_ids"], [tuple(span) for span in rows["offset_mapping"]]
            self.expect(len(ids) == len(spans), f"{text!r} has {len(ids)} ids and {len(spans)} offsets")
            bad = [span for span in spans if not 0 <= span[0] <= span[1] <= len(text)]
            self.expect(not bad, f"the offsets {bad[:1]} are not in {text!r}, of {len(text)} characters")
            starts = [start for start, _ in spans]
            self.expect(starts == sorted(starts), f"the offsets of {text!r} go back: {spans}")
            covered = {position for start, end in spans for position in range(start, end)}
            lost = [c for at, c in enumerate(text) if at not in covered and not c.isspace()]
            self.expect(not lost, f"no offset of {text!r} holds {lost[0] if lost else ''!r}: {spans}")

    def test_odd_texts_do_no_harm(self) -> None:
        """Users paste anything; a character that the vocabulary lacks is no reason to fail in the middle of a file."""
        for text in (*_ODD, ""):
            ids = self._encode_or_refuse(text)
            self._quietly(partial(self.tokenizer.decode, ids), f"decoding the ids of {text!r}")

    def test_bad_input_is_refused(self) -> None:
        """An error that names the value is mended in a minute."""
        for what, bad in {"None": None, "a number": 3, "bytes": b"text", "a list of numbers": [1, 2]}.items():
            self.refused(f"{what} for a text", partial(self.tokenizer, bad))
        size = self.tokenizer.max_id + 1
        self.refused("an id that is not in the vocabulary", lambda: self.tokenizer.decode([size]))
        self.refused("an option that there is not", lambda: self.read(no_such_option=1))
        self.refused("a pad token that is not in the vocabulary", lambda: self.read(pad_token="no such token, surely"))

    def test_saved_tokenizer_is_the_same(self, tmp_path: Path) -> None:
        """A checkpoint is saved with its tokenizer, and opened by AutoTokenizer somewhere else."""
        from ...auto import AutoTokenizer

        self.tokenizer.save_pretrained(tmp_path)
        back = AutoTokenizer.from_pretrained(tmp_path)
        self.expect(type(back) is self.tokenizer_class, f"AutoTokenizer reads it as a {type(back).__name__}",
                    "give the tokenizer's class a name that no other plugin has")  # fmt: skip
        for name in self.tokenizer_class.options:
            before, after = getattr(self.tokenizer, name), getattr(back, name)
            self.expect(before == after, f"the option {name}={before!r} comes back as {after!r}",
                        "let load pass its options on to the constructor")  # fmt: skip
        for text in self.samples:
            self.expect(back.encode(text) == self.tokenizer.encode(text), f"{text!r} has other ids after saving",
                        "write in save_vocabulary all that load reads")  # fmt: skip

    def test_tokenizer_needs_no_mindspore(self, tmp_path: Path) -> None:
        """Data is prepared on machines without MindSpore, and its import takes seconds."""
        self.tokenizer.save_pretrained(tmp_path)
        seen = in_fresh_process(probes.tokenize, str(tmp_path), self.samples)
        self.expect(not seen["mindspore"], "using the tokenizer imports mindspore",
                    "import nothing in its module that imports mindspore")  # fmt: skip
        self.expect(seen["plain"] == [self.plain(text) for text in self.samples], "ids differ in another process",
                    "set and dict orders, and hash(), differ between processes")  # fmt: skip

    def test_tokenizer_crosses_to_another_process(self) -> None:
        """Data loaders give the tokenizer to worker processes."""
        there = across_spawn(_encode, self.tokenizer, self.samples)
        self.expect(there == [self.plain(text) for text in self.samples], "ids differ in another process")

    # How ------------------------------------------------------------------------------------------------------------

    def _load_light(self, target: str) -> Any:
        from ...plugins.registry import load_target

        return load_target(target, self.owner)

    def _encode_or_refuse(self, text: str) -> list[int]:
        __tracebackhide__ = True
        try:
            return self.plain(text)
        except Exception as error:
            if isinstance(error, MFError) and unforeseen(error) is None:
                return []
            self.fault(f"encoding {text!r} raises {describe(unforeseen(error) or error)}",
                       "give unk_token's id for what the vocabulary lacks")  # fmt: skip

    def _quietly(self, call: Any, what: str) -> Any:
        __tracebackhide__ = True
        try:
            return call()
        except Exception as error:
            self.fault(f"{what} raises {describe(error)}")

    def _check_against_config(self, size: int) -> None:
        from ...auto import config_of
        from ...checkpoint.locate import locate
        from ...plugins.registry import registry

        checkpoint = locate(self.location)
        if not registry.has("config", str(checkpoint.config.get("model_type"))):
            return
        entries = getattr(config_of(checkpoint), "vocab_size", None)
        self.expect(entries is None or size <= entries, f"the tokenizer has {size} entries, its model {entries}",
                    "set vocab_size in the preset's config")  # fmt: skip


def _encode(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    return [list(map(int, tokenizer.encode(text, add_special_tokens=False))) for text in texts]


