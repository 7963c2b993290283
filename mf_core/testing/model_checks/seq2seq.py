"""An encoder-decoder model decodes token by token what it computes of a whole target, and reads its source."""

from __future__ import annotations

from typing import Any

import numpy as np

from .model_under_test import ModelSubject
from .random_weights import distance


class Seq2SeqChecks(ModelSubject):
    """The checks of models with the head ``"seq2seq_lm"``."""

    def test_targets_see_nothing_after_them(self) -> None:
        """A decoder that sees the token it is to predict learns nothing, at a splendid loss."""
        arguments, cut = self._arguments(), self.length // 2
        changed = arguments["decoder_input_ids"].copy()
        changed[:, cut:] = (changed[:, cut:] + 1) % int(self.model.config.vocab_size)
        (before,), (after,) = self.outputs(arguments), self.outputs({**arguments, "decoder_input_ids": changed})
        apart = distance(before[:, :cut], after[:, :cut])
        self.expect(apart <= self.tolerance, f"changing a later token of the target changes logits by {apart:.1e}",
                    "add causal_bias to the scores of the decoder's own tokens")  # fmt: skip

    def test_targets_are_decoded_with_the_same_logits(self) -> None:
        """Generation goes by decode and caches, training by construct; they are one model or two."""
        arguments = self._arguments()
        (wanted,) = self.outputs(arguments)
        targets, prompt = arguments["decoder_input_ids"], max(1, self.length // 2)
        with self._rows() as rows:
            rows.read(dict(enumerate(arguments["input_ids"].tolist())))
            found = [rows.put(targets[:, :prompt].tolist())[:, -1]]
            found += [rows.put(targets[:, i : i + 1].tolist())[:, -1] for i in range(prompt, self.length)]
        for number, output in enumerate(found):
            apart = distance(wanted[:, prompt - 1 + number], output)
            self.expect(
                apart <= self.tolerance, f"decode and construct differ by {apart:.1e} at token {prompt + number}",
                "use position_ids and bias as given, and attend to the memory that decode is given",
            )  # fmt: skip

    def test_answers_are_of_the_likeliest_tokens(self) -> None:
        """Greedy text has to be what the whole model finds likeliest, for sources of any length in a batch."""
        self._need_seq2seq()
        sources = [self.ids(1, n, seed=n)[0].tolist() for n in (self.length, max(1, self.length // 2))]
        new = min(6, self.model.max_positions - 1)
        texts = self.model.generate(sources, max_new_tokens=new, do_sample=False, eos_token_id=None,
                                    decoder_start_token_id=1, repetition_penalty=1.0)  # fmt: skip
        for source, text in zip(sources, texts, strict=True):
            self.expect(text[0] == 1, "the generated ids do not begin with decoder_start_token_id")
            pair = {"input_ids": np.array([source], np.int32), "decoder_input_ids": np.array([text], np.int32)}
            (logits,) = self.outputs(pair)
            for index in range(1, len(text)):
                row = logits[0, index - 1]
                short = float(row.max() - row[text[index]]) / max(1.0, float(np.abs(row).max()))
                self.expect(short <= self.tolerance, f"new token {index} of {new} is not the likeliest, by {short:.1e}",
                            "hide the padding of sources in decode, as in construct")  # fmt: skip

    def _need_seq2seq(self) -> None:
        if not self.is_seq2seq:
            self.skip("the model does not have the head 'seq2seq_lm'")

    def _arguments(self) -> dict[str, np.ndarray]:
        self._need_seq2seq()
        arguments = self.arguments(2, seed=5)
        return {name: arguments[name] for name in ("input_ids", "decoder_input_ids")}

    def _rows(self) -> Any:
        from ...generation.rows import CachedRows

        return CachedRows(self.model, 2)
