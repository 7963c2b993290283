"""Single faults, and for each the check of the conformance kit that is about it."""

from __future__ import annotations

from .conformance_plugins import Mutant

MUTANTS = {
    # The plugin
    "raises": Mutant(
        "Plugin.test_plugin_loads", "no luck", "plugin",
        "_PRESET = ", "raise ValueError('no luck')\n_PRESET = ",
    ),
    "heavy": Mutant(
        "Plugin.test_entry_module_brings_nothing_heavy", "numpy", "plugin",
        "_PRESET = ", "import numpy\n_PRESET = ",
    ),
    "slow": Mutant(
        "Plugin.test_entry_module_is_quick", "of 50", "plugin",
        "_PRESET = ", "import time; time.sleep(0.1)\n_PRESET = ",
    ),
    "environment": Mutant(
        "Plugin.test_entry_module_changes_nothing", "environ", "plugin",
        "_PRESET = ", "import os; os.environ['LETTERS'] = '1'\n_PRESET = ",
    ),
    "filters": Mutant(
        "Plugin.test_entry_module_changes_nothing", "filters", "plugin",
        "_PRESET = ", "import warnings; warnings.simplefilter('ignore')\n_PRESET = ",
    ),
    "writes": Mutant(
        "Plugin.test_entry_module_writes_nothing", ".log", "plugin",
        "_PRESET = ", "open('letters.log', 'w').close()\n_PRESET = ",
    ),
    "typo": Mutant(
        "Plugin.test_targets_can_be_imported", "Mdel", "plugin",
        "modeling:LettersModel", "modeling:LettersMdel",
    ),
    "requires": Mutant(
        "Plugin.test_targets_can_be_imported", "surely_not_there", "config",
        "from mf_core import", "import surely_not_there\nfrom mf_core import",
    ),
    "other-type": Mutant(
        "Plugin.test_targets_are_what_the_specs_say", "alphabet", "config",
        '] = "letters"', '] = "alphabet"',
    ),
    "other-base": Mutant(
        "Plugin.test_targets_are_what_the_specs_say", "PretrainedProcessor", "processing",
        "(TextProcessor)", "",
    ),
    "logging": Mutant(
        "Plugin.test_targets_change_nothing", "root logger", "modeling",
        "import mindspore as ms", "import logging; logging.basicConfig()\nimport mindspore as ms",
    ),
    "preset": Mutant(
        "Plugin.test_presets_are_sound", "hiden_size", "plugin",
        '{"hidden_size": 16}', '{"hiden_size": 16}',
    ),
    "preset-folder": Mutant(
        "Plugin.test_presets_are_sound", "no folder", "plugin",
        "mf_letters/data", "mf_letters/weights",
    ),
    "no-module": Mutant(
        "Plugin.test_wheel_has_targets_and_data", "processing", "RECORD",
        "mf_letters/processing.py", "unrelated/processing.py",
    ),
    "no-data": Mutant(
        "Plugin.test_wheel_has_targets_and_data", "package:", "RECORD",
        "mf_letters/data/__init__.py", "unrelated/data.py",
    ),
    "astray": Mutant(
        "Plugin.test_wheel_has_nothing_astray", "tests", "RECORD",
        "mf_letters/spare.py", "tests/spare.py",
    ),
    "undeclared": Mutant(
        "Plugin.test_distribution_requires_what_it_imports", "pytest", "task",
        "import mindspore as ms", "import pytest\nimport mindspore as ms",
    ),
    "no-core": Mutant(
        "Plugin.test_distribution_requires_what_it_imports", "mf-framework", "METADATA",
        "Requires-Dist: mf-framework", "Keywords: none",
    ),
    "threads": Mutant(
        "Plugin.test_first_look_up_from_threads", "different", "tokenization",
        "class LettersTokenizer(", "def __getattr__(name):\n    return type(name, (Hidden,), {})\n\nclass Hidden(",
    ),
    # The configuration
    "lost-field": Mutant(
        "Config.test_config_has_every_field_in_a_file", "seq_length", "config",
        "    vocab_size:",
        "    def to_file_dict(self):\n"
        "        return {k: v for k, v in super().to_file_dict().items() if k != 'seq_length'}\n"
        "    vocab_size:",
    ),
    "one-key": Mutant(
        "Config.test_config_has_every_field_in_a_file", "num_", "config",
        '"n_layer"}', '"n_layer", "num_heads": "n_layer"}',
    ),
    "no-limits": Mutant(
        "Config.test_config_refuses_bad_values", "hidden_size=0", "config",
        "hidden_size: Positive", "hidden_size: int",
    ),
    "any-field": Mutant(
        "Config.test_config_refuses_unknown_fields", "misspelt", "config",
        "    vocab_size:",
        "    def __init__(self, **fields):\n"
        "        super().__init__(**{k: v for k, v in fields.items() if self.field_of(k)})\n"
        "    vocab_size:",
    ),
    "no-extra": Mutant(
        "Config.test_config_keeps_what_it_does_not_know", "None", "config",
        "    vocab_size:",
        "    @classmethod\n"
        "    def from_dict(cls, data, **more):\n"
        "        return cls(**{k: v for k, v in data.items() if cls.field_of(k)}, **more)\n"
        "    vocab_size:",
    ),
    # The model
    "half-logits": Mutant(
        "Model.test_logits_have_shape_and_type", "Float16", "modeling",
        "return self.head(self.body(input_ids, attention_mask, position_ids))",
        "return self.head(self.body(input_ids, attention_mask, position_ids)).half()",
    ),
    "half-in-half": Mutant(
        "Model.test_model_computes_in_half_precision", "float16", "modeling",
        "return self.head(self.body(input_ids, attention_mask, position_ids))",
        "return self.head(self.body(input_ids, attention_mask, "
        "position_ids)).astype(ms_dtype(self.compute_dtype))",
    ),
    "rows-mixed": Mutant(
        "Model.test_batch_gives_what_rows_give", "rows in a batch", "modeling",
        "return self.norm(x) if", "x = x - x.mean(0, keep_dims=True)\n        return self.norm(x) if",
    ),
    "mask-ignored": Mutant(
        "Model.test_padding_changes_nothing", "padding", "modeling",
        "self.causal_bias(attention_mask, length)", "self.causal_bias(None, length)",
    ),
    "positions-ignored": Mutant(
        "Model.test_padding_changes_nothing", "padding", "modeling",
        "position_ids = positions(attention_mask)", "pass",
    ),
    "not-causal": Mutant(
        "Model.test_tokens_see_nothing_after_them", "later token", "modeling",
        "bias = self.causal_bias(attention_mask, length)", "bias = self.causal_bias(attention_mask, length) * 0",
    ),
    "cache-ignored": Mutant(
        "Model.test_decoding_gives_the_same_logits", "differ", "modeling",
        "keys, slots, k), write_cache(values, slots, v)", "keys, slots, k) * 0, write_cache(values, slots, v)",
    ),
    "decode-several": Mutant(
        "Model.test_decoding_gives_the_logits_of_several_tokens", "logits_to_keep=3", "modeling",
        "x[:, -logits_to_keep:]", "x[:, :logits_to_keep]",
    ),
    "decode-position": Mutant(
        "Model.test_generation_takes_the_likeliest_token", "likeliest", "modeling",
        "x = self.start(input_ids, position_ids)\n        for",
        "x = self.start(input_ids, position_ids * 0)\n        for",
    ),
    "no-gradient": Mutant(
        "Model.test_gradients_are_numbers_and_reach_every_parameter", "spare", "modeling",
        "self.norm = LayerNorm(config.hidden_size)",
        "self.norm = LayerNorm(config.hidden_size)\n        self.spare = Linear(2, 2)",
    ),
    "wrong-sign": Mutant(
        "Model.test_training_lowers_the_loss", "took the loss", "modeling",
        "return self.embed.attend(hidden, whole=whole)",
        "logits = self.embed.attend(hidden, whole=whole)\n"
        "        return 2 * ops.stop_gradient(logits) - logits",
    ),
    "config-changed": Mutant(
        "Model.test_model_leaves_its_config_alone", "seq_length", "modeling",
        "super().__init__(config)\n        self.embed",
        "super().__init__(config)\n        config.seq_length = 64\n        self.embed",
    ),
    "in-training": Mutant(
        "Model.test_model_is_built_from_its_config", "training mode", "modeling",
        "self.post_init()", "self.post_init()\n        self.set_train(True)",
    ),
    "lost-weight": Mutant(
        "Model.test_weights_come_back_from_a_file", "norm", "modeling",
        "    def start(",
        "    def _load(self, checkpoint, *, in_place=True):\n"
        "        super()._load(checkpoint, in_place=in_place)\n"
        "        self.norm.weight.set_data(ms.Tensor(self.norm.weight.asnumpy() * 0 + 1))\n"
        "\n"
        "    def start(",
    ),
    "hidden-state": Mutant(
        "Model.test_saved_model_says_the_same_in_another_process", "outputs differ", "modeling",
        "+ self.position(position_ids)",
        "+ self.position(position_ids) * (3.0 if 'pytest' in __import__('sys').modules else 1.0)",
    ),
    "no-pickle": Mutant(
        "Model.test_config_and_class_cross_to_another_process", "another process", "config",
        "    vocab_size:", "    def __reduce__(self):\n        return (lambda: None, ())\n    vocab_size:",
    ),
    "weights": Mutant(
        "Model.test_shipped_weights_fit", "letters", "plugin",
        '{"hidden_size": 16}', '{"hidden_size": 32}',
    ),
    "short-context": Mutant(
        "Model.test_whole_context_can_be_used", "the shape (31, ", "modeling",
        "Embedding(config.seq_length,", "Embedding(config.seq_length - 1,",
    ),
    "plan-nothing": Mutant(
        "Model.test_plan_names_cells_that_exist", "query", "modeling",
        'qkv": 3', 'qkv": 3, "layers.*.query": 1',
    ),
    "plan-gap": Mutant(
        "Model.test_plan_covers_the_model", "norm", "modeling",
        'last=("norm", "embed")', 'last=("embed",)',
    ),
    "plan-uneven": Mutant(
        "Model.test_plan_covers_the_model", "5 weights", "modeling",
        'qkv": 3', 'qkv": 5',
    ),
    "plan-heads": Mutant(
        "Model.test_plan_names_cells_that_can_be_split", "num_heads", "modeling",
        'heads=("layers.*.attend",)', 'heads=("layers.*.attend.core",)',
    ),
    "plan-norm": Mutant(
        "Model.test_plan_names_cells_that_can_be_split", "LayerNorm", "modeling",
        'rows=("layers.*.attend.out",)', 'rows=("layers.*.attend.out", "layers.*.norm")',
    ),
    "plan-forgets": Mutant(
        "Model.test_plan_splits_what_it_can", "extra", "modeling",
        "self.core = Attention()", "self.core = Attention()\n        self.extra = Linear(size, size)",
    ),
    "stages": Mutant(
        "Model.test_stages_make_the_whole", "stages", "modeling",
        " if hidden is None else hidden", "",
    ),
    "blocks": Mutant(
        "Model.test_blocks_are_the_plan_s_layers", "blocks", "modeling",
        "return self.layers", "return list(self.layers)[:1]",
    ),
    # The tokenizer
    "no-spaces": Mutant(
        "Tokenizer.test_texts_come_back", "goodday", "tokenization",
        "ALPHABET[i] for", "ALPHABET[i].strip() for",
    ),
    "fragile": Mutant(
        "Tokenizer.test_odd_texts_do_no_harm", "ValueError", "tokenization",
        "ALPHABET.index(c) if c in ALPHABET else 27", "ALPHABET.index(c)",
    ),
    "beyond": Mutant(
        "Tokenizer.test_ids_are_in_the_vocabulary", "28", "tokenization",
        "else 27 for", "else 28 for",
    ),
    "no-none": Mutant(
        "Tokenizer.test_tokens_and_ids_name_each_other", "id_to_token(28)", "tokenization",
        "return ALPHABET[index] if 0 <= index < 28 else None", "return ALPHABET[index]",
    ),
    "doubled-end": Mutant(
        "Tokenizer.test_special_tokens_are_put_and_left_out", "skip_special_tokens", "tokenization",
        "if i < 27 or not skip_special_tokens", "",
    ),
    "wrong-side": Mutant(
        "Tokenizer.test_padding_is_on_the_side_that_was_asked_for", "left", "tokenization",
        "return cls(**{**special, **options})", "return cls(**{**special, **options, 'padding_side': 'right'})",
    ),
    "wrong-cut": Mutant(
        "Tokenizer.test_truncation_keeps_the_length", "left", "tokenization",
        "return cls(**{**special, **options})", "return cls(**{**special, **options, 'truncation_side': 'right'})",
    ),
    "other-batch": Mutant(
        "Tokenizer.test_batch_gives_what_texts_give", "encode_batch", "tokenization",
        "    def token_to_id",
        "    def encode_batch(self, texts):\n"
        "        return [self.encode(text) for text in texts]\n"
        "\n"
        "    def token_to_id",
    ),
    "offsets": Mutant(
        "Tokenizer.test_offsets_point_into_the_text", "offset", "tokenization",
        "(i, i + 1)", "(i + 1, i + 2)",
    ),
    "takes-none": Mutant(
        "Tokenizer.test_bad_input_is_refused", "None", "tokenization",
        "    def token_to_id",
        "    def __call__(self, text, **options):\n"
        "        return super().__call__(text or '', **options)\n"
        "\n"
        "    def token_to_id",
    ),
    "lost-option": Mutant(
        "Tokenizer.test_saved_tokenizer_is_the_same", "add_eos_token", "tokenization",
        "return cls(**{**special, **options})",
        "made = cls(**{**special, **options})\n"
        "        made.add_eos_token = not source.path('tokenizer_config.json', required=False)\n"
        "        return made",
    ),
    "mindspore": Mutant(
        "Tokenizer.test_tokenizer_needs_no_mindspore", "imports mindspore", "tokenization",
        "from mf_core import", "import mindspore\nfrom mf_core import",
    ),
    "lock": Mutant(
        "Tokenizer.test_tokenizer_crosses_to_another_process", "pickle", "tokenization",
        "return cls(**{**special, **options})",
        "made = cls(**{**special, **options})\n        made.ready = lambda: True\n        return made",
    ),
    # The processor
    "other-width": Mutant(
        "Processor.test_batch_gives_what_inputs_give", "in a batch", "processing",
        "    default_tokenizer",
        "    def __call__(self, text):\n"
        "        rows = super().__call__(text)\n"
        "        return rows if isinstance(text, str) else {'text': rows['text'][:, :9]}\n"
        "    default_tokenizer",
    ),
    "no-batch": Mutant(
        "Processor.test_processor_returns_a_model_s_input", "rows for one input", "processing",
        "    default_tokenizer",
        "    def __call__(self, text):\n"
        "        return {'text': super().__call__(text)['text'][0]}\n"
        "    default_tokenizer",
    ),
    "option-gone": Mutant(
        "Processor.test_options_are_kept", "max_length", "processing",
        "    default_tokenizer",
        "    def save_pretrained(self, directory):\n"
        "        self.tokenizer.save_pretrained(directory)\n"
        "        __import__('pathlib').Path(directory, "
        '\'preprocessor_config.json\').write_text(\'{"processor_class": "LettersProcessor"}\')\n'
        "    default_tokenizer",
    ),
    # The task
    "first-alone": Mutant(
        "Task.test_list_gives_what_inputs_give", "inputs give", "task",
        "max_new_tokens=1, do_sample=False)]", "max_new_tokens=1, do_sample=False)[:1]]",
    ),
    "any-input": Mutant(
        "Task.test_bad_input_is_refused", "None", "task",
        "if not isinstance(inputs, list)", "if False and not isinstance(inputs, list)",
    ),
    "any-option": Mutant(
        "Task.test_unknown_option_is_refused", "option", "task",
        'check_options(options, (), "letters_next")', "pass",
    ),
    "no-training": Mutant(
        "Task.test_recipe_trains", "no weight", "task",
        "logits = self.model(ids)[:, -1]", "logits = ops.stop_gradient(self.model(ids)[:, -1])",
    ),
    # The backend
    "probe-imports": Mutant(
        "Backend.test_probe_needs_no_mindspore", "mindspore", "backend",
        "return Probe(True,", "import mindspore\n        return Probe(True,",
    ),
    "probe-changes": Mutant(
        "Backend.test_probe_changes_nothing", "GLOG_v", "backend",
        "return Probe(True,", "import os; os.environ['GLOG_v'] = '4'\n        return Probe(True,",
    ),
    "no-reason": Mutant(
        "Backend.test_probe_tells_what_is_missing", "no reason", "backend",
        "return Probe(True,", "return Probe(False,",
    ),
    "unknown-type": Mutant(
        "Backend.test_class_says_what_it_can", "float64", "backend",
        'dtypes = ("float32",)', 'dtypes = ("float32", "float64")',
    ),
    "any-device": Mutant(
        "Backend.test_missing_device_is_refused", "taken", "backend",
        "if device_id:", "if False:",
    ),
    "once-only": Mutant(
        "Backend.test_setup_may_be_called_again", "second setup", "backend",
        "if device_id:", "self.ready = hasattr(self, 'ready')\n        if self.ready:",
    ),
}  # fmt: skip
