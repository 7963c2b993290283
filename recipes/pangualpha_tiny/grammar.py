"""The grammar of the Chinese stories: `generate` writes one, `check` and `accept` say whether a text is one.

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

__all__ = ["STORIES", "Rejection", "accept", "check", "generate"]

VARIABLES: dict[str, Table] = {
    "hero": words.NAMES,
    "plot": [
        {"story": "".join(f"[{'|'.join(step)}]" for step in plot.steps), "moral": "|".join(plot.morals)}
        for plot in PLOTS
    ],
    "ending": [  # either the plot's moral, or a hobby that the opening has told of
        {"hobby": "", "last": "{plot.moral}"},
        {"hobby": "，最爱{hobby}", "last": "{hobby.again}"},
    ],
    "kind": words.KINDS,  # the hero's
    "trait": words.TRAITS,
    "pal": words.NAMES,
    "palkind": words.KINDS,
    "paltrait": words.TRAITS,
    "place": words.PLACES,
    "spot": words.SPOTS,
    "colour": words.COLOURS,
    "thing": words.THINGS,
    "food": words.FOODS,
    "elder": words.ELDERS,
    "remedy": words.REMEDIES,
    "obstacle": words.OBSTACLES,
    "fear": words.FEARS,
    "trap": words.TRAPS,
    "skill": words.SKILLS,
    "seed": words.SEEDS,
    "trouble": words.TROUBLES,
    "storm": words.STORMS,
    "shelter": words.SHELTERS,
    "hobby": words.HOBBIES,
}

CONSTRAINTS = (
    ("pal.name", "!=", "hero.name"),
    ("palkind.name", "!=", "kind.name"),
    ("paltrait.name", "!=", "trait.name"),
    ("spot.place", "==", "place.name"),
    ("skill.name", "!=", "hobby.name"),  # who likes it most needs no lessons
)

RULES = {
    "story": "<lived><day>，{plot.story}{ending.last}",
    "lived": "从前，{place.at}住着<somebody>，名叫{hero}{ending.hobby}。"
    "|从前，有<somebody>，名叫{hero}{ending.hobby}，住在{place.of}的{kind.home}里。"
    "|很久很久以前，{place.at}有<somebody>，名叫{hero}{ending.hobby}。"
    "|{place.of}的{kind.home}里，住着<somebody>，名叫{hero}{ending.hobby}。",
    "somebody": "{kind.one}{trait}的{kind}",
    "day": "[一天|有一天][早上|中午|下午]|一个[晴朗|安静|凉爽]的早上",
}

STORIES = Grammar(RULES, VARIABLES, CONSTRAINTS, spaced=False)


def generate(rng: random.Random) -> str:
    """Return one story, a paragraph of about 150 characters; the same for the same state of `rng` on every platform."""
    return STORIES.generate(rng)


def check(text: str) -> Rejection | None:
    """Return None when `text` is exactly one story of the grammar, else where and why it is not."""
    return STORIES.check(text)


def accept(text: str, *, beginning: bool = False) -> bool:
    """Return whether `text` is exactly one story of the grammar; with `beginning`, also whether one begins with it."""
    rejection = check(text)
    return rejection is None or (beginning and rejection.kind == "stops early")


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
