"""One run of the benchmarks: how much is measured, and what its parts share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from machine import Rounds
from table import Figures
from workers import ask_once


@dataclass(frozen=True)
class Settings:
    """Sizes and counts.

    Attributes:
        rounds: How often all engines take their turn.
        layers: Of the model of GPT-2 124M's width that text is generated with.
        new: Tokens generated for each prompt.
        steps: Steps of training in a turn.
        plugins: Installed beside ours where listing is measured.
        stories: Held-out texts that int8 weights are judged by.
    """

    rounds: int = 5
    layers: int = 12
    new: int = 128
    steps: int = 3
    plugins: int = 20
    stories: int = 128

    @property
    def model(self) -> str:
        """What the generating model is called in the table."""
        return "GPT-2 124M" if self.layers == 12 else f"{self.layers} layers of GPT-2 124M"


QUICK = Settings(rounds=2, layers=4, new=32, stories=32)


class Session:
    """What the benchmarks of a run share.

    Attributes:
        settings: How much is measured.
        rounds: Counts the rounds of all benchmarks.
        scratch: A folder that goes with the run.
    """

    def __init__(self, settings: Settings, scratch: Path) -> None:
        self.settings = settings
        self.rounds = Rounds()
        self.scratch = scratch

    @cached_property
    def checkpoint(self) -> str:
        """The folder of the generating model, in transformers' form, with random weights in fp32."""
        folder = str(self.scratch / "model")
        _, failure = ask_once("engines:save_gpt2", folder=folder, layers=self.settings.layers)
        if failure:
            raise SystemExit(f"no model to measure with: {failure}")
        return folder

    @property
    def checkpoint_bytes(self) -> int:
        """The bytes of its weights."""
        return Path(self.checkpoint, "model.safetensors").stat().st_size

    def fresh(
        self, benchmark: str, rounds: int, engines: dict[str, str], **settings: Any
    ) -> Callable[[str, str], Figures]:
        """Let engines take turns, each in a fresh process each time; none is asked again once it has failed.

        Args:
            benchmark, rounds: Which, and how often.
            engines: Name in the table -> what measures it, as :class:`workers.Worker` takes it with ``settings``.

        Returns:
            What returns an engine's figures of one kind, by the engine's name and the key in its answers.
        """
        answers: dict[str, list[dict]] = {name: [] for name in engines}
        failures = dict.fromkeys(engines, "")
        for _ in self.rounds(benchmark, rounds):
            for name, target in engines.items():
                if not failures[name]:
                    answer, failures[name] = ask_once(target, **settings)
                    answers[name] += [answer] if answer else []
        return lambda name, key: Figures(name, [answer[key] for answer in answers[name]], failures[name])
