"""Score generated stories with the grammar: the share accepted, and why the others are not.

python score.py generated.jsonl            # or - for standard input
python score.py generated.jsonl --seen train.jsonl
"""

from collections.abc import Collection, Iterable, Sequence

import _common  # noqa: F401
import scoring
from grammar import check
from scoring import Report

END_OF_TEXT = "<eod>"


def score(texts: Iterable[str], seen: Collection[str] = ()) -> Report:
    """Check every text; `seen` are the stories trained on."""
    return scoring.score(texts, check, END_OF_TEXT, seen)


def main(arguments: Sequence[str] | None = None) -> None:
    """Score the file the command line names and print the report."""
    scoring.main(check, END_OF_TEXT, arguments)


if __name__ == "__main__":
    main()
