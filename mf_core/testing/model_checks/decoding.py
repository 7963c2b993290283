"""Logits are the same whichever way they are computed: alone, in a batch, padded, or token by token with a cache."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from .model_under_test import ModelSubject
from .random_weights import distance

#: Rows by which the checks decode: always as many, so one compilation.
_ROWS = 2


class DecodingChecks(ModelSubject):
    """The checks of ``construct`` and ``decode``."""

    def test_logits_have_shape_and_type(self) -> None:
        """Losses and generation take logits (B, S, V) in fp32."""
        self.need_causal_lm()
        output = self.run(self.model, self.ids(2, self.length))
        wanted = (2, self.length, int(self.model.config.vocab_size))
        self.expect(tuple(getattr(output, "shape", ())) == wanted,
                    f"construct returns {getattr(output, 'shape', type(output).__name__)}; wanted: {wanted}",
                    "return the logits of every token")  # fmt: skip
        self.expect("Float32" in str(output.dtype), f"the logits are {output.dtype}", "cast them to float32")
        self.expect(np.isfinite(output.asnumpy()).all(), "the logits hold what is no number")

    def test_batch_gives_what_rows_give(self) -> None:
        """What a user is told must not depend on who else asks at the same time."""
        self.need_causal_lm()
        ids = self.ids(3, self.length)
        together, alone = self.logits(ids), np.concatenate([self.logits(row[None]) for row in ids])
        self._expect_same(alone, together, "rows in a batch and rows alone", "let no operation mix rows")

    def test_padding_changes_nothing(self) -> None:
        """Prompts of unequal length are padded on the left; a model that looks at padding answers worse in a batch."""
        self.need_causal_lm()
        ids = self.ids(1, self.length - 1, seed=1)
        pad = max(1, min(3, self.model.max_positions - self.length))
        padded = np.hstack([self.ids(1, pad, seed=2), ids])
        mask = np.hstack([np.zeros((1, pad), np.int32), np.ones_like(ids)])
        self._expect_same(
            self.logits(ids), self.logits(padded, mask)[:, pad:], "a row alone and the row after padding",
            "hide places where attention_mask is 0 (causal_bias), and count positions without them (positions)",
        )  # fmt: skip

    def test_positions_may_be_given(self) -> None:
        """Generation gives the positions; they have to mean what the model counts itself."""
        self.need_causal_lm()
        ids = self.ids(2, self.length)
        places = np.tile(np.arange(self.length, dtype=np.int32), (2, 1))
        self._expect_same(self.logits(ids), self.logits(ids, None, places), "positions that are counted and given",
                          "position_ids (B, S) count from 0")  # fmt: skip

    def test_tokens_see_nothing_after_them(self) -> None:
        """A model that sees the token it is to predict learns nothing, at a splendid loss."""
        self.need_causal_lm()
        ids, cut = self.ids(2, self.length), self.length // 2
        changed = ids.copy()
        changed[:, cut:] = (changed[:, cut:] + 1) % int(self.model.config.vocab_size)
        before, after = self.logits(ids), self.logits(changed)
        self._expect_same(before[:, :cut], after[:, :cut], "logits before and after a later token is changed",
                          "add causal_bias to the scores")  # fmt: skip
        apart = distance(before[:, cut:], after[:, cut:])
        self.expect(apart > self.tolerance, "changing tokens changes nothing: the logits do not depend on the ids")

    def test_tokens_see_those_before_them(self) -> None:
        """A model that sees the last token alone is no language model."""
        self.need_causal_lm()
        ids = self.ids(2, self.length)
        changed = ids.copy()
        changed[:, 0] = (changed[:, 0] + 1) % int(self.model.config.vocab_size)
        apart = distance(self.logits(ids)[:, -1], self.logits(changed)[:, -1])
        self.expect(apart > 1e-6, "changing the first token leaves the last one's logits as they are to the bit")

    def test_decoding_gives_the_same_logits(self) -> None:
        """Generation goes by decode and the cache, training by construct; they are one model or two."""
        self.need_causal_lm()
        ids = self.ids(_ROWS, self.length, seed=3)
        wanted = self.logits(ids)
        prompt = max(1, self.length // 2)
        with self._rows() as rows:
            found = [rows.put(ids[:, :prompt].tolist())[:, -1]]
            for place in range(prompt, self.length):
                found.append(rows.put(ids[:, place : place + 1].tolist())[:, -1])
        shape = tuple(found[0].shape)
        self.expect(shape == (_ROWS, wanted.shape[-1]), f"decode returns {shape}; wanted: {(_ROWS, wanted.shape[-1])}",
                    "return the last token's logits alone")  # fmt: skip
        self.expect(found[0].dtype == np.float32, f"decode returns {found[0].dtype}", "cast it to float32")
        for number, output in enumerate(found):
            apart = distance(wanted[:, prompt - 1 + number], output)
            what = "the prompt's last token" if number == 0 else f"token {number} after the prompt"
            self.expect(
                apart <= self.tolerance, f"decode and construct differ by {apart:.1e} at {what}",
                "write_cache the new keys and values, attend to all it returns, and use position_ids and bias as given",
            )  # fmt: skip

    def test_decoding_gives_the_logits_of_several_tokens(self) -> None:
        """Proposed tokens are verified by one pass: the text has to be the one that comes without proposals."""
        self.need_causal_lm()
        if "logits_to_keep" not in inspect.signature(self.model.decode).parameters:
            self.skip("decode has no argument logits_to_keep, so no tokens are proposed to the model")
        ids = self.ids(_ROWS, self.length, seed=4)
        wanted = self.logits(ids)
        prompt, kept = max(1, self.length // 2), 3
        rows = [ids[0].tolist(), ids[1, : prompt + 2].tolist()]  # of unequal length, as those with proposals are
        with self._rows() as cached:
            cached.put([row[:prompt] for row in rows])
            found = cached.put([row[prompt:] for row in rows], kept)
        for number, row in enumerate(rows):
            count = min(kept, len(row) - prompt)
            apart = distance(wanted[number, len(row) - count : len(row)], found[number, kept - count :])
            self.expect(
                apart <= self.tolerance, f"with logits_to_keep={kept}, decode and construct differ by {apart:.1e}",
                "return the logits of the last logits_to_keep tokens, in their order",
            )  # fmt: skip

    def test_generation_takes_the_likeliest_token(self) -> None:
        """Greedy text has to be what the whole model finds likeliest at each place."""
        self.need_causal_lm()
        rows = [self.ids(1, n, seed=n)[0].tolist() for n in (self.length // 2, max(1, self.length // 2 - 1))]
        new = min(6, self.model.max_positions - self.length // 2)
        texts = self.model.generate(rows, max_new_tokens=new, do_sample=False, eos_token_id=None,
                                    repetition_penalty=1.0)  # fmt: skip
        for prompt, text in zip(rows, texts, strict=True):
            self.expect(text[: len(prompt)] == prompt, "the generated ids do not begin with the prompt")
            logits = self.logits(np.array([text]))[0]
            for place in range(len(prompt), len(text)):
                row = logits[place - 1]
                short = float(row.max() - row[text[place]]) / max(1.0, float(np.abs(row).max()))
                self.expect(
                    short <= self.tolerance,
                    f"new token {place - len(prompt) + 1} of {new} is not the likeliest, by {short:.1e}",
                    "decode has to give what construct gives, in a padded batch too",
                )  # fmt: skip

    # How ------------------------------------------------------------------------------------------------------------

    def _expect_same(self, one: np.ndarray, other: np.ndarray, what: str, hint: str) -> None:
        __tracebackhide__ = True
        apart = distance(one, other)
        self.expect(apart <= self.tolerance, f"{what} differ by {apart:.1e} of their size", hint)

    def _rows(self) -> Any:
        from ...generation.rows import CachedRows

        return CachedRows(self.model, _ROWS)
