"""Score generated stories with their grammar: the share accepted, and why the others are not."""

import argparse
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stories import read_jsonl
from story_engine import Rejection

#: Says why a text is not a story, or None.
Check = Callable[[str], Rejection | None]


@dataclass
class Report:
    """How many of `total` stories the grammar accepts; `rejected` maps a reason to the stories it rejects.

    `distinct` counts the different texts among the accepted, `seen` those accepted that occur in the training text.
    """

    total: int = 0
    accepted: int = 0
    distinct: int = 0
    seen: int = 0
    rejected: dict[str, list[tuple[str, Rejection]]] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Accepted stories over all, 0.0 when there are none."""
        return self.accepted / self.total if self.total else 0.0

    def reasons(self) -> list[tuple[str, int]]:
        """Return the reasons with their counts, the most common first."""
        return sorted(((reason, len(cases)) for reason, cases in self.rejected.items()), key=lambda r: (-r[1], r[0]))

    def render(self, examples: int = 2) -> str:
        """Return the report as text, with up to `examples` cases of each reason."""
        lines = [f"accepted {self.accepted} of {self.total} ({self.share:.1%}), {self.distinct} different"]
        if self.seen:
            lines[0] += f", {self.seen} seen in training"
        for reason, count in self.reasons():
            lines.append(f"{count:5}  {reason}")
            for text, rejection in self.rejected[reason][:examples]:
                start, end = max(rejection.position - 60, 0), rejection.position + 30
                lines += [f"       - {rejection}", f"         ...{text[start:end]}..."]
        return "\n".join(lines)


def story_of(text: str, end_of_text: str) -> str:
    """Return what a generated text says before its end-of-text token, without the space around it."""
    return text.split(end_of_text)[0].strip()


def score(texts: Iterable[str], check: Check, end_of_text: str, seen: Collection[str] = ()) -> Report:
    """Check every text; `seen` are the stories trained on."""
    report = Report()
    accepted: set[str] = set()
    for generated in texts:
        text = story_of(generated, end_of_text)
        report.total += 1
        rejection = check(text)
        if rejection is None:
            report.accepted += 1
            report.seen += text in seen
            accepted.add(text)
        else:
            report.rejected.setdefault(rejection.reason, []).append((text, rejection))
    report.distinct = len(accepted)
    return report


def main(check: Check, end_of_text: str, arguments: Sequence[str] | None = None) -> None:
    """Score the file the command line names and print the report."""
    parser = argparse.ArgumentParser(description="Score generated stories with the grammar.")
    parser.add_argument("file", help='JSON lines of {"text": ...}, or - for standard input')
    parser.add_argument("--seen", type=Path, help="the training text, to count copies")
    parser.add_argument("--examples", type=int, default=2, help="cases shown of each reason")
    options = parser.parse_args(arguments)
    lines = sys.stdin if options.file == "-" else Path(options.file).read_text(encoding="utf-8").split("\n")
    seen = set(read_jsonl(options.seen.read_text(encoding="utf-8").split("\n"))) if options.seen else set()
    print(score(read_jsonl(lines), check, end_of_text, seen).render(options.examples))
