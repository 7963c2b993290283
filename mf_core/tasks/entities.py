"""Entities in sequences of labels, and how many of them are found (Tjong Kim Sang and De Meulder, 2003)."""

from __future__ import annotations

from collections.abc import Sequence


def entities(labels: Sequence[str]) -> set[tuple[str, int, int]]:
    """Return ``(kind, first word, last word)`` of each entity.

    ``B-X`` begins an entity; so does ``I-X`` that follows none of its kind. Labels without either are kinds, too, but
    for ``O``.
    """
    found: set[tuple[str, int, int]] = set()
    kind, begin = None, 0
    for index, label in enumerate([*labels, "O"]):
        begins, name = label.startswith("B-"), label[2:] if label[:2] in ("B-", "I-") else label
        if kind is not None and (begins or name != kind):
            found.add((kind, begin, index - 1))
            kind = None
        if kind is None and label != "O":
            kind, begin = name, index
    return found


def entity_scores(predicted: Sequence[Sequence[str]], true: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return ``precision``, ``recall`` and ``f1`` of entities; one counts where its kind and its words are right."""
    hits = found = wanted = 0
    for ours, theirs in zip(map(entities, predicted), map(entities, true), strict=True):
        hits, found, wanted = hits + len(ours & theirs), found + len(ours), wanted + len(theirs)
    precision, recall = hits / found if found else 0.0, hits / wanted if wanted else 0.0
    both = precision + recall
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / both if both else 0.0}
