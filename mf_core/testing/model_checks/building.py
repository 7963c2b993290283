"""A model is built of its config, and comes back from a file, in this process and in others."""

from __future__ import annotations

import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import MFError, describe
from ..contracts.default_subjects import local_presets
from ..processes import probes
from ..processes.shared_process import in_other_process
from .model_under_test import ModelSubject
from .random_weights import digests, distance, set_weights


class BuildingChecks(ModelSubject):
    """The checks of the model's class, its weights and its limits."""

    def test_model_is_built_from_its_config(self) -> None:
        """The core builds models from a config alone, and reads their config_class."""
        model = self.model
        self.expect(model.config_class is self.config_class,
                    f"config_class is {model.config_class.__name__}; the spec's config is {self.config_class.__name__}",
                    "set config_class in the model's class")  # fmt: skip
        self.expect(not model.training, "a new model is in training mode, where dropout changes what it says",
                    "end __init__ with self.post_init()")  # fmt: skip
        self.expect(dict(model.parameters_and_names()), "the model has no parameters",
                    "make them by mf_core.nn.parameter or the layers of mf_core.nn")  # fmt: skip
        other = type("OtherConfig", (), {})()
        self.refused("a config of another class", lambda: type(model)(other), "call super().__init__(config) first")

    def test_model_leaves_its_config_alone(self) -> None:
        """Two models are often made from one config; what the first changes, the second gets."""
        config = self.make_config()
        before = config.to_dict()
        self.model_class(config)
        changed = sorted(name for name, value in config.to_dict().items() if before.get(name) != value)
        self.expect(not changed, f"building a model changes its config: {', '.join(changed)}",
                    "keep what you compute on the model, or in a property of the config")  # fmt: skip

    def test_weights_come_back_from_a_file(self) -> None:
        """Training for a month ends in a file; what does not come back from it is lost."""
        from ...checkpoint.safetensors_reader import read_header

        start = self.model.checkpoint_prefix if self.model.is_body else ""
        names = {name.removeprefix(start) for name, _ in self.model.parameters_and_names()}
        saved: set[str] = set()
        for file in self.saved.glob("*.safetensors"):
            saved |= read_header(file).tensors.keys()
        self.expect(saved == names, f"the file and the model differ in {sorted(saved ^ names)[:3]}",
                    "a weight's name in the file is the parameter's")  # fmt: skip
        back = self.load_saved()
        self.expect(type(back) is self.model_class, f"AutoModel reads it as a {type(back).__name__}")
        before, after = digests(self.model), digests(back)
        wrong = [name for name in before if before[name] != after.get(name)]
        self.expect(not wrong, f"weights come back other than they were: {', '.join(wrong[:3])}",
                    "make every weight a parameter, and set none after loading")  # fmt: skip

    def test_saved_model_says_the_same_in_another_process(self) -> None:
        """What is in memory but not in the file makes a model that works until the program ends."""
        arguments = self.arguments(2)
        given = [None if tensor is None else (str(tensor.dtype), tensor.asnumpy().tolist())
                 for tensor in self.positional(arguments)]  # fmt: skip
        seen = in_other_process(probes.model_outputs, str(self.saved), self.owner, self.the_head, given)
        wrong = [name for name, digest in digests(self.model).items() if seen["digests"].get(name) != digest]
        self.expect(not wrong, f"weights differ in another process: {', '.join(wrong[:3])}")
        for here, there in zip(self.outputs(arguments), self.of_rows(seen["outputs"]), strict=True):
            apart = distance(here, np.array(there, np.float32))
            self.expect(apart <= self.tolerance, f"the outputs differ by {apart:.1e} in another process",
                        "keep nothing that outputs depend on outside parameters and config")  # fmt: skip

    def test_config_and_class_cross_to_another_process(self) -> None:
        """Data loaders and launchers start processes, and pickle what they give them."""
        back, name = in_other_process(probes.config_and_class, self.make_config(), self.model_class)
        self.expect(back.to_dict() == self.make_config().to_dict(), "the config is not the same in another process")
        self.expect(name == self.model_class.__name__, f"the class is {name} there")

    def test_model_computes_in_half_precision(self) -> None:
        """On Ascend models compute in fp16; losses and sampling need outputs in fp32 all the same."""
        if "compute_dtype" not in self.config_class.model_fields:
            self.skip("the config has no compute_dtype")
        from ...backends.base import get_backend

        if "float16" not in get_backend().dtypes:
            self.skip(f"the {get_backend().name} backend has no float16")
        half = self.load_saved(compute_dtype="float16")
        arguments = self.arguments(2)
        for whole, output in zip(self.outputs(arguments), self.outputs(arguments, half), strict=True):
            self.expect(output.dtype == np.float32, f"an output is {output.dtype}; it has to be float32",
                        "cast it, as Embedding.attend does")  # fmt: skip
            apart = distance(whole, output)
            self.expect(apart <= 0.1, f"outputs in float16 are {apart:.2f} of their size apart from those in float32",
                        "norms and softmax in float32, and scores scaled before they are summed, help")  # fmt: skip

    def test_heads_may_be_wider_than_their_share(self) -> None:
        """Published models set head_dim; a family that uses hidden_size / num_heads instead cannot load them."""
        field, config = self.config_class.field_of("head_dim"), self.make_config()
        heads, size = getattr(config, "num_heads", None), getattr(config, "hidden_size", None)
        if field is None or not isinstance(heads, int) or not isinstance(size, int):
            self.skip("the config has no head_dim, num_heads and hidden_size")
        width = getattr(config, field)
        if width is not None and width * heads != size:
            return  # all checks run with such a width
        model = self.model_class(self.make_config(**{field: 2 * max(1, size // heads)}))
        set_weights(model)
        try:
            outputs = self.outputs(self.arguments(1), model)
            if self.is_causal_lm:
                from ...generation.rows import CachedRows

                ids = self.ids(1, self.length)
                with CachedRows(model, 1) as rows:
                    outputs = [rows.put(ids.tolist())[:, -1] - self.run(model, ids).asnumpy()[:, -1]]
        except Exception as error:
            self.fault(f"with {field}={2 * max(1, size // heads)} it fails: {describe(error)}",
                       "size the projections and the cache by head_dim, not by hidden_size")  # fmt: skip
        if self.is_causal_lm:
            apart = float(np.abs(outputs[0]).max())
            self.expect(apart <= 10 * self.tolerance, f"decode and construct differ by {apart:.1e} with wider heads",
                        "size the cache by head_dim")  # fmt: skip

    def test_shipped_weights_fit(self) -> None:
        """A preset whose weights do not fit the model fails for the user who types its name."""
        from ...auto import model_of
        from ...checkpoint.locate import locate

        names = local_presets(self.owner, self.model_type, "weights")
        own = [name for name in names if name.startswith(f"{self.owner}:")]
        if not own:
            self.skip(f"no preset of {self.model_type} has its weights here, offline")
        for name in own:
            try:
                model_of(locate(name), f"model:{self.the_head}")
            except MFError as error:
                self.fault(f"{name}: {error.what}{': ' + error.why if error.why else ''}",
                           "save the weights again by save_pretrained, or mend the preset")  # fmt: skip

    def test_new_heads_are_initialized_and_trained(self) -> None:
        """A classifier begins with the weights of a body that has no classifier; frozen or unsaved, it stays random."""
        from ...checkpoint.weights import save_weights

        model, cells = self.model, self.model.new_cells
        if not cells:
            return  # every checkpoint is expected to have all weights
        weights = dict(model.parameters_and_names())
        for cell in cells:
            self.expect(any(name.startswith(f"{cell}.") for name in weights),
                        f"new_cells names {cell!r}, which has no weights",
                        "name cells by their path in the model")  # fmt: skip
        body = {name: p for name, p in weights.items() if not name.startswith(tuple(f"{cell}." for cell in cells))}
        with tempfile.TemporaryDirectory(prefix="mf-check-") as name:
            save_weights(body, Path(name))
            model.save_config(Path(name), dtype="float32")
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                new = self.load_from(Path(name))
        words = [str(each.message) for each in caught if "initialised" in str(each.message)]
        self.expect(len(words) == 1 and all(cell in words[0] for cell in cells),
                    f"loading a checkpoint without {', '.join(cells)} warns {len(words)} times, not once",
                    "call post_init last")  # fmt: skip
        found = dict(new.parameters_and_names())
        wrong = [n for n, p in body.items() if not np.array_equal(p.float().asnumpy(), found[n].float().asnumpy())]
        wrong += [n for n, p in found.items() if n not in body and not np.isfinite(p.float().asnumpy()).all()]
        self.expect(not wrong, f"weights of a model with a new head are wrong: {', '.join(wrong[:3])}",
                    "make every weight by mf_core.nn.parameter or the layers of mf_core.nn")  # fmt: skip

    def test_generation_refuses_what_it_cannot_do(self) -> None:
        """Ids outside a table read as zeros in MindSpore, without a word."""
        self.need_causal_lm()
        vocabulary, context = int(self.model.config.vocab_size), self.model.max_positions
        self.expect(context > 1, f"max_positions is {context}", "give the config a field seq_length")
        options: dict[str, Any] = {"max_new_tokens": 1, "do_sample": False}
        for what, prompt in {
            "an id that is not in the vocabulary": [0, vocabulary], "a negative id": [-1], "no ids at all": [],
            "a prompt that is longer than the context": [0] * (context + 1), "a text for a prompt": "hello",
            "a batch of batches": [[[0]]],
        }.items():  # fmt: skip
            self.refused(what, partial(self.model.generate, prompt, **options))

    def test_whole_context_can_be_used(self) -> None:
        """A table of positions that is one too short gives wrong text at the end of long prompts alone."""
        self.need_ids()
        context = self.model.max_positions
        self.expect(context > 1, f"max_positions is {context}", "give the config a field seq_length")
        if context > 2048:
            self.skip(f"the context of {context} tokens is too long to try; set seq_length in `config`")
        for name, parameter in self.model.parameters_and_names():
            shape = tuple(parameter.shape)
            if "vision" in name:
                continue  # positions of patches, not of tokens of a text
            self.expect(not (len(shape) == 2 and "position" in name.lower() and shape[0] < context),
                        f"{name} has the shape {shape}, and the context is {context}")  # fmt: skip
        try:
            outputs = self.outputs(self.arguments(1, context))
        except (MFError, RuntimeError, ValueError, IndexError) as error:
            self.fault(f"a row of {context} tokens, the context, fails: {describe(error)}",
                       "size tables of positions by config.seq_length")  # fmt: skip
        for output in outputs:
            self.expect(np.isfinite(output).all(), f"outputs for a row of {context} tokens hold what is not a number")
