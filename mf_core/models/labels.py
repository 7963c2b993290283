"""Configurations with the labels of a classifier.

Importing this module does not import mindspore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import Field, model_validator

from ..config import PretrainedConfig

L = TypeVar("L", bound="LabelledConfig")


class LabelledConfig(PretrainedConfig):
    """Configuration of a family whose models may classify.

    Attributes:
        num_labels: Classes of a classification head; that of ``id2label`` where this is given.
        id2label: Number of a class, from 0 -> its name; None: ``LABEL_0``, ``LABEL_1``, …
        label2id: The same the other way round; None: it follows from ``id2label``.
    """

    num_labels: Annotated[int, Field(gt=0)] = 2
    id2label: dict[int, str] | None = None
    label2id: dict[str, int] | None = None

    @model_validator(mode="before")
    @classmethod
    def _count_labels(cls, data: Any) -> Any:
        names = data.get("id2label") if isinstance(data, Mapping) else None
        if isinstance(names, Mapping) and "num_labels" not in data:
            return {**data, "num_labels": len(names)}
        return data

    @model_validator(mode="after")
    def _check_labels(self: L) -> L:
        if self.id2label is not None:
            if sorted(self.id2label) != list(range(self.num_labels)):
                raise ValueError(
                    f"id2label names the classes {sorted(self.id2label)}, and num_labels={self.num_labels}: they are "
                    f"counted from 0"
                )
            wrong = {name: index for name, index in (self.label2id or {}).items() if self.id2label.get(index) != name}
            if wrong:
                raise ValueError(f"label2id and id2label disagree about {next(iter(wrong))!r}")
        return self

    @property
    def labels(self) -> list[str]:
        """The names of the classes, in order."""
        names = self.id2label or {}
        return [names.get(index, f"LABEL_{index}") for index in range(self.num_labels)]

    @property
    def has_label_names(self) -> bool:
        """Whether the classes have their own names."""
        return self.labels != [f"LABEL_{index}" for index in range(self.num_labels)]

    @classmethod
    def from_dict(cls: type[L], data: Mapping[str, Any], **overrides: Any) -> L:
        """See the base class; overrides of the labels replace all that a file says of them."""
        data = dict(data)
        if "id2label" in overrides:
            _drop(data, ("num_labels", "label2id"))
        elif "num_labels" in overrides and len(data.get("id2label") or ()) != overrides["num_labels"]:
            _drop(data, ("num_labels", "id2label", "label2id"))
        elif isinstance(data.get("id2label"), Mapping):
            _drop(data, ("num_labels",))
        return super().from_dict(data, **overrides)


def _drop(data: dict[str, Any], names: Sequence[str]) -> None:
    for name in names:
        data.pop(name, None)
