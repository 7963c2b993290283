"""The grammar of the stories: `generate` writes one, `check` says whether a text is one.

A story is an opening, a plot and an ending. The plots are in story_plots.py, the words in story_words.py, the notation
of both in recipes/common/story_notation.py. Writing and reading go by the same data (recipes/common/story_engine.py).

    python grammar.py --count 5 --seed 1
"""

import argparse
import random

import _common  # noqa: F401
import story_words as words
from story_engine import Grammar, Rejection, Table
from story_plots import PLOTS

__all__ = ["STORIES", "Rejection", "check", "generate"]

VARIABLES: dict[str, Table] = {
    "hero": words.NAMES,
    "plot": [
        {"story": " ".join(f"[{'|'.join(step)}]" for step in plot.steps), "moral": "|".join(plot.morals)}
        for plot in PLOTS
    ],
    "ending": [  # either the plot's moral, or a habit that the opening has told of
        {"who": "", "habit": "", "last": "{plot.moral}"},
        {"who": " who {quirk}", "habit": " {hero.He} {quirk}.", "last": "{quirk.again}"},
    ],
    "kind": words.ANIMALS,  # the hero's
    "pal": words.NAMES,
    "palkind": words.ANIMALS,
    "trait": words.TRAITS,
    "quirk": words.QUIRKS,
    "place": words.PLACES,
    "spot": words.SPOTS,
    "sky": words.SKIES,
    "colour": words.COLOURS,
    "thing": words.THINGS,
    "food": words.FOODS,
    "fear": words.FEARS,
    "project": words.PROJECTS,
    "storm": words.STORMS,
    "shelter": words.SHELTERS,
    "gift": words.GIFTS,
    "skill": words.SKILLS,
}

CONSTRAINTS = (
    ("pal.he", "!=", "hero.he"),  # so that "he" and "she" are never in doubt
    ("palkind.name", "!=", "kind.name"),
    ("spot.place", "==", "place.name"),
)

RULES = {
    "story": "[<lived> <day>, {plot.story}|[<woke>|<came>] {plot.Story}] {ending.last}",
    "lived": "Once upon a time there was {trait.a} {kind} named {hero}{ending.who}."
    "|Once upon a time, {trait.a} {kind} named {hero} lived in {kind.home} {place.by}.{ending.habit}"
    "|In {kind.home} {place.by} there lived {trait.a} {kind} named {hero}.{ending.habit}",
    "woke": "<day>, {trait.a} {kind} named {hero} woke up in {kind.home} {place.by}.{ending.habit}",
    "came": "<day>, {trait.a} {kind} named {hero} {kind.went} [off|over] to {place}.{ending.habit}",
    "day": "[One {sky} morning|One {sky} afternoon|One morning, when {sky.when}]",
}

STORIES = Grammar(RULES, VARIABLES, CONSTRAINTS)


def generate(rng: random.Random) -> str:
    """Return one story, a paragraph of 7 to 9 sentences; the same for the same state of `rng` on every platform."""
    return STORIES.generate(rng)


def check(text: str) -> Rejection | None:
    """Return None when `text` is exactly one story of the grammar, else where and why it is not."""
    return STORIES.check(text)


def main() -> None:
    """Print some stories."""
    parser = argparse.ArgumentParser(description="Print some stories of the grammar.")
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    for _ in range(options.count):
        print(generate(rng), end="\n\n")


if __name__ == "__main__":
    main()
