"""The text of tokens as they come, and where a stop string ends it."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..tokenization.base import PretrainedTokenizer

#: Tokens of the prompt that are decoded with the first new ones, which may join them.
_BEFORE = 6
#: Most tokens that are decoded together while they give no text.
_LONGEST = 64


class StopAutomaton:
    """Finds any number of strings in one pass over a text (Aho & Corasick, 1975).

    A state is the longest end of the text so far that one of the strings begins with; 0 is the empty one.

    Args:
        strings: None of them empty.

    Attributes:
        depth: Length of each state.
        found: For each state, the length of the longest string that ends with it; 0 for none.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._next: list[dict[str, int]] = [{}]
        self.depth, self.found = [0], [0]
        for string in strings:
            state = 0
            for character in string:
                if character not in self._next[state]:
                    self._next[state][character] = len(self._next)
                    self._next.append({})
                    self.depth.append(self.depth[state] + 1)
                    self.found.append(0)
                state = self._next[state][character]
            self.found[state] = len(string)
        self._shorter = [0] * len(self._next)
        queue = deque(self._next[0].values())
        while queue:
            state = queue.popleft()
            for character, child in self._next[state].items():
                self._shorter[child] = self.step(self._shorter[state], character)
                self.found[child] = max(self.found[child], self.found[self._shorter[child]])
                queue.append(child)

    def step(self, state: int, character: str) -> int:
        """Return the state after one more character."""
        while state and character not in self._next[state]:
            state = self._shorter[state]
        return self._next[state].get(character, 0)

    def search(self, text: str) -> int | None:
        """Return where the string that ends first begins; None where there is none."""
        state = 0
        for end, character in enumerate(text, 1):
            state = self.step(state, character)
            if self.found[state]:
                return end - self.found[state]
        return None


class Detokenizer:
    """Decodes ids incrementally; a character is returned with its last token.

    Args:
        decode: From ids to text.
        before: Ids that come before, whose text is not given again.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], before: Sequence[int]) -> None:
        self._decode = decode
        self._ids = list(before[-_BEFORE:])
        self._read = len(self._ids)
        self._known = decode(self._ids) if self._ids else ""

    def push(self, index: int) -> str:
        """Add an id and return the text that it completes."""
        self._ids.append(index)
        text = self._decode(self._ids)
        new = text[len(self._known) :]
        if text.endswith("\ufffd") and len(self._ids) - self._read < _LONGEST:
            return ""
        if new or len(self._ids) - self._read >= _LONGEST:
            self._ids = self._ids[self._read :]
            self._read = len(self._ids)
            self._known = self._decode(self._ids)
        return new

    def rest(self) -> str:
        """Return the text of characters that are not complete."""
        return self._decode(self._ids)[len(self._known) :] if len(self._ids) > self._read else ""


class TextFollower:
    """The text of a continuation, without special tokens, up to the first stop string.

    Stop strings are looked for in the text with special tokens, so that these can end it, too.

    Args:
        tokenizer: The model's.
        prompt: The prompt's ids.
        automaton: Finds the stop strings; None: there are none.
        kept: Special tokens that stay in the text.

    Attributes:
        text: The text so far.
        stopped: Whether a stop string has come; the text ends before it.
    """

    def __init__(
        self,
        tokenizer: PretrainedTokenizer,
        prompt: Sequence[int],
        automaton: StopAutomaton | None,
        kept: Sequence[str] = (),
    ) -> None:
        self._plain = Detokenizer(_decode_keeping(tokenizer, kept), prompt)
        self._tokenizer, self._prompt, self._automaton = tokenizer, prompt[-_BEFORE:], automaton
        self.text, self.stopped = "", False
        if automaton is not None:
            self._whole = Detokenizer(lambda ids: tokenizer.decode(ids, strict=False), prompt)
            self._state, self._length = 0, 0
            self._starts: list[int] = []  # of each piece of the whole text, there and in the plain one
            self._plain_starts: list[int] = []
            self._pieces: list[tuple[str, str]] = []

    def push(self, index: int) -> bool:
        """Add a token; return whether a stop string ends the text."""
        plain = self._plain.push(index)
        before = len(self.text)
        self.text += plain
        if self._automaton is None:
            return False
        whole = self._whole.push(index)
        if not whole and not plain:
            return False
        self._starts.append(self._length)
        self._plain_starts.append(before)
        self._pieces.append((whole, plain))
        self._length += len(whole)
        position = self._length - len(whole)
        for character in whole:
            position += 1
            self._state = self._automaton.step(self._state, character)
            if self._automaton.found[self._state]:
                self.text = self.text[: self._plain_position(position - self._automaton.found[self._state])]
                self.stopped = True
                return True
        return False

    def would_stop(self, new: Sequence[int]) -> bool:
        """Return whether a stop string is in the text of new tokens, which are not added."""
        if self._automaton is None:
            return False
        before = self._tokenizer.decode(self._prompt, strict=False)
        whole = self._tokenizer.decode([*self._prompt, *new], strict=False)
        return self._automaton.search(whole[len(before) :]) is not None

    def finish(self) -> None:
        """Add what is left of incomplete characters, at the end of a text that no stop string has ended."""
        if not self.stopped:
            self.text += self._plain.rest()

    def ready(self) -> int:
        """Return the length of the text that later tokens cannot change."""
        if self._automaton is None or self.stopped:
            return len(self.text)
        depth = self._automaton.depth[self._state]
        return len(self.text) if depth == 0 else self._plain_position(self._length - depth)

    def _plain_position(self, position: int) -> int:
        """Return where in the plain text a position of the whole text is."""
        piece = bisect_right(self._starts, position) - 1
        if piece < 0:
            return 0
        whole, plain = self._pieces[piece]
        inside = position - self._starts[piece]
        if whole != plain:  # a special token, perhaps with text before it
            inside = next((n for n in range(min(inside, len(plain))) if whole[n] != plain[n]), min(inside, len(plain)))
        return self._plain_starts[piece] + inside


def _decode_keeping(tokenizer: PretrainedTokenizer, kept: Sequence[str]) -> Callable[[Sequence[int]], str]:
    """Return a function from ids to text without special tokens, except for those to be kept."""
    kept_ids = {index for token in kept if (index := tokenizer.token_to_id(token)) is not None}
    special: dict[int, bool] = {}

    def is_special(index: int) -> bool:
        if index not in special:
            special[index] = not tokenizer.decode([index], skip_special_tokens=True, strict=False)
        return special[index]

    def decode(ids: Sequence[int]) -> str:
        if kept_ids.isdisjoint(ids):
            return tokenizer.decode(ids, skip_special_tokens=True, strict=False)
        return tokenizer.decode([i for i in ids if i in kept_ids or not is_special(i)], strict=False)

    return decode
