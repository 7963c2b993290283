"""What holds for every processor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from ...specs import ProcessorSpec
from ..processes import probes
from ..processes.run import across_spawn, in_fresh_process
from .compare import plain, same
from .contract import once
from .default_subjects import offline_preset, sample_texts
from .plugin import PluginContract


class ProcessorContract(PluginContract):
    """Raw input becomes a model's input, the same alone or in a batch, in this process and the next.

    Attributes:
        model_type: The family.
        source: What ``from_pretrained`` takes: a preset or a folder; None: the family's first preset whose vocabulary
            is there offline.
        inputs: Inputs, each of which a call takes alone; None: texts are made of the tokenizer's own tokens.
    """

    model_type: ClassVar[str]
    source: ClassVar[str | Path | None] = None
    inputs: ClassVar[Sequence[Any] | None] = None

    def subject(self) -> str:
        """See the base class."""
        return f"the processor of {self.model_type}, from {self.source or 'the first preset that is here'}"

    @once
    def location(self) -> str:
        """What the processor is read from."""
        return str(self.source) if self.source is not None else offline_preset(self, "tokenizer")

    @once
    def processor_class(self) -> Any:
        """The processor's class."""
        from ...plugins.registry import load_target

        return load_target(self.spec_of(ProcessorSpec, model_type=self.model_type).target, self.owner)

    @property
    def plainly(self) -> dict[str, Any]:
        """Options that ask for numpy arrays, where the class has such an option."""
        return {"return_tensors": "np"} if "return_tensors" in self.processor_class.options else {}

    @once
    def processor(self) -> Any:
        """The processor."""
        return self.processor_class.from_pretrained(self.location, **self.plainly)

    @once
    def samples(self) -> list[Any]:
        """The inputs of the checks, two at least."""
        found = list(self.inputs) if self.inputs is not None else sample_texts(self.processor.tokenizer)
        self.expect(found, "there are no inputs to try", "set `inputs`")
        return found if len(found) > 1 else found * 2

    def test_processor_returns_a_model_s_input(self) -> None:
        """A model is called with what the processor returns, by name."""
        result = self.processor(self.samples[0])
        self.expect(isinstance(result, dict) and result, f"a call returns {type(result).__name__}, and no dict",
                    "return {name: array}")  # fmt: skip
        for name, value in result.items():
            self.expect(isinstance(name, str), f"a call returns the key {name!r}")
            rows = len(plain(value))
            self.expect(rows == 1, f"{name!r} has {rows} rows for one input", "give one input a batch of one")

    def test_batch_gives_what_inputs_give(self) -> None:
        """What is trained on in batches is what is asked alone."""
        together = plain(self.processor(self.samples))
        for number, item in enumerate(self.samples):
            alone = plain(self.processor(item))
            for name, rows in together.items():
                count = len(self.samples)
                self.expect(len(rows) == count, f"{count} inputs give {len(rows)} rows of {name!r}")
                self.expect(same(rows[number], alone[name][0]), f"input {number} is another in a batch than alone")

    def test_bad_input_is_refused(self) -> None:
        """An error that names the value is mended in a minute."""
        for what, bad in {"None": None, "a number": 3, "a list with None": [None]}.items():
            self.refused(f"{what} for an input", partial(self.processor, bad))
        self.refused(
            "an option that there is not", lambda: self.processor_class.from_pretrained(self.location, no_such_option=1)
        )

    def test_options_are_kept(self, tmp_path: Path) -> None:
        """A checkpoint is saved with its processor, and opened by AutoProcessor somewhere else."""
        from ...auto import AutoProcessor

        changed = {"max_length": 7} if "max_length" in self.processor_class.options else {}
        processor = self.processor_class.from_pretrained(self.location, **{**self.plainly, **changed})
        processor.save_pretrained(tmp_path)
        back = AutoProcessor.from_pretrained(tmp_path)
        self.expect(type(back) is self.processor_class, f"AutoProcessor reads it as a {type(back).__name__}",
                    "give the processor's class a name that no other plugin has")  # fmt: skip
        for name in self.processor_class.options:
            before, after = getattr(processor, name), getattr(back, name)
            self.expect(before == after, f"the option {name}={before!r} comes back as {after!r}",
                        "name it in `options`, and take it in __init__")  # fmt: skip
        before, after = plain(processor(self.samples)), plain(back(self.samples))
        self.expect(same(before, after), "it gives something else after saving")

    def test_processor_gives_the_same_in_another_process(self, tmp_path: Path) -> None:
        """What is in memory but not in the file makes a processor that works until the program ends."""
        self.processor.save_pretrained(tmp_path)
        there = in_fresh_process(probes.process, str(tmp_path), self.samples, self.plainly)
        self.expect(same(there, plain(self.processor(self.samples))), "it gives something else in another process")

    def test_processor_crosses_to_another_process(self) -> None:
        """Data loaders give the processor to worker processes."""
        there = across_spawn(_call, self.processor, self.samples)
        self.expect(same(there, plain(self.processor(self.samples))), "it gives something else in another process")


def _call(processor: Any, inputs: list[Any]) -> Any:
    return plain(processor(inputs))
