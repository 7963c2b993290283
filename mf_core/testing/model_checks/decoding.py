"""Outputs are the same whichever way they are computed: alone, in a batch, padded, or token by token with a cache."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from .model_under_test import ModelSubject
from .random_weights import distance, flat

#: Rows by which the checks decode: always as many, so one compilation.
_ROWS = 2


class DecodingChecks(ModelSubject):
    """The checks of ``construct`` and ``decode``."""

    def test_logits_have_shape_and_type(self) -> None:
        """Losses and generation take outputs in fp32, and a language model's logits as (B, S, V)."""
        if not self.is_causal_lm:
            for output in flat(self.model(*self.positional(self.arguments(2)))):
                self.expect(tuple(output.shape)[:1] == (2,), f"an output for 2 rows has the shape {output.shape}")
                self.expect("Float32" in str(output.dtype), f"an output is {output.dtype}", "cast it to float32")
                self.expect(np.isfinite(output.asnumpy()).all(), "an output holds what is not a number")
            return
        output = self.run(self.model, self.ids(2, self.length))
        wanted = (2, self.length, int(self.model.config.vocab_size))
        self.expect(tuple(getattr(output, "shape", ())) == wanted,
                    f"construct returns {getattr(output, 'shape', type(output).__name__)}; wanted: {wanted}",
                    "return the logits of every token")  # fmt: skip
        self.expect("Float32" in str(output.dtype), f"the logits are {output.dtype}", "cast them to float32")
        self.expect(np.isfinite(output.asnumpy()).all(), "the logits hold what is no number")

    def test_batch_gives_what_rows_give(self) -> None:
        """An answer must not depend on which other rows are in the batch."""
        arguments = self.arguments(3)
        together = self.outputs(arguments)
        rows = [self.outputs({name: array[row : row + 1] for name, array in arguments.items()}) for row in range(3)]
        for number, output in enumerate(together):
            alone = np.concatenate([row[number] for row in rows])
            self._expect_same(alone, output, "rows in a batch and rows alone", "let no operation mix rows")

    def test_padding_changes_nothing(self) -> None:
        """Texts of unequal length are padded; a model that attends to padding answers worse in a batch."""
        self.need_ids()
        arguments = self.arguments(1, self.length - 1, seed=1)
        ids = arguments.pop("input_ids")
        length = ids.shape[1]
        pad = max(1, min(3, self.model.max_positions - self.length)) if self.model.max_positions else 3
        whole = np.ones_like(ids)
        before = self.outputs({"input_ids": ids, "attention_mask": whole, **arguments})
        # A decoder's prompts are padded on the left, an encoder's texts on the right.
        sides = [("after", slice(pad, None))] if self.is_causal_lm else [("before", slice(0, length))]
        for side, kept in sides:
            parts = (np.zeros((1, pad), np.int32), whole)
            more = self.ids(1, pad, seed=2)
            padded, mask = (np.hstack(pair if side == "after" else pair[::-1]) for pair in ((more, ids), parts))
            found = self.outputs({"input_ids": padded, "attention_mask": mask, **arguments})
            for alone, output in zip(before, found, strict=True):
                by_token = output.ndim > 1 and alone.shape[1:2] == (length,) and output.shape[1] == length + pad
                self._expect_same(
                    alone, output[:, kept] if by_token else output, f"a row alone and the row {side} padding",
                    "hide tokens whose attention_mask is 0 (causal_bias), and count positions without them (positions)"
                    if self.is_causal_lm else "hide tokens whose attention_mask is 0, and pool over the others",
                )  # fmt: skip

    def test_positions_may_be_given(self) -> None:
        """Generation gives the positions; they have to mean what the model counts itself."""
        if "position_ids" not in self.parameters_of_construct and not self.is_causal_lm:
            self.skip("construct has no argument position_ids")
        arguments = self.arguments(2)
        given = np.tile(np.arange(self.length, dtype=np.int32), (2, 1))
        for one, other in zip(
            self.outputs(arguments), self.outputs({**arguments, "position_ids": given}), strict=True
        ):
            self._expect_same(one, other, "outputs with positions that are counted and given",
                              "position_ids (B, S) count from 0")  # fmt: skip

    def test_outputs_depend_on_every_input(self) -> None:
        """A model that does not read an input answers by chance, however it was trained."""
        arguments = self.arguments(2)
        before = self.outputs(arguments)
        for name, array in arguments.items():
            changed = array.copy()
            if array.dtype.kind == "f":
                changed[:] = array[..., ::-1] + 0.5
            else:
                changed[:, 0] = (changed[:, 0] + 1) % int(self.model.config.vocab_size)
            apart = max(map(distance, before, self.outputs({**arguments, name: changed})))
            self.expect(apart > 1e-6, f"changing {name} leaves every output as it is",
                        "use it in construct")  # fmt: skip

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
        changed[:, -2] = (changed[:, -2] + 1) % int(self.model.config.vocab_size)  # a window may hide earlier ones
        apart = distance(self.logits(ids)[:, -1], self.logits(changed)[:, -1])
        self.expect(apart > 1e-6, "changing a token leaves the next one's logits bit for bit as they are")

    def test_decoding_gives_the_same_logits(self) -> None:
        """Generation goes by decode and the cache, training by construct; they are one model or two."""
        self.need_causal_lm()
        ids = self.ids(_ROWS, self.length, seed=3)
        wanted = self.logits(ids)
        prompt = max(1, self.length // 2)
        with self._rows() as rows:
            found = [rows.put(ids[:, :prompt].tolist())[:, -1]]
            for index in range(prompt, self.length):
                found.append(rows.put(ids[:, index : index + 1].tolist())[:, -1])
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
        """Greedy text has to be what the whole model finds likeliest at each step."""
        self.need_causal_lm()
        rows = [self.ids(1, n, seed=n)[0].tolist() for n in (self.length // 2, max(1, self.length // 2 - 1))]
        new = min(6, self.model.max_positions - self.length // 2)
        texts = self.model.generate(rows, max_new_tokens=new, do_sample=False, eos_token_id=None,
                                    repetition_penalty=1.0)  # fmt: skip
        for prompt, text in zip(rows, texts, strict=True):
            self.expect(text[: len(prompt)] == prompt, "the generated ids do not begin with the prompt")
            logits = self.logits(np.array([text]))[0]
            for index in range(len(prompt), len(text)):
                row = logits[index - 1]
                short = float(row.max() - row[text[index]]) / max(1.0, float(np.abs(row).max()))
                self.expect(
                    short <= self.tolerance,
                    f"new token {index - len(prompt) + 1} of {new} is not the likeliest, by {short:.1e}",
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
