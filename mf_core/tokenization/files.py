"""The files beside a vocabulary, as the versions of ``transformers`` write them, brought into one form.

``tokenizer_config.json``, ``special_tokens_map.json``, ``added_tokens.json``, ``chat_template.jinja`` and
``additional_chat_templates/*.jinja``. Fields that are unknown, null or in another form than an option are no errors:
a file is not a user's call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import IntegrityError, shown
from ..utils.files import read_config_file, write_json, write_text

if TYPE_CHECKING:
    from ..hub import Source

TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
CHAT_TEMPLATE_FILE = "chat_template.jinja"
CHAT_TEMPLATE_FOLDER = "additional_chat_templates"
_SPECIAL_TOKENS_FILE = "special_tokens_map.json"
_ADDED_TOKENS_FILE = "added_tokens.json"

#: What a tokenizer that is saved into a directory replaces, whether it writes them or not.
TOKENIZER_FILES = (
    TOKENIZER_CONFIG_FILE, CHAT_TEMPLATE_FILE, CHAT_TEMPLATE_FOLDER, _SPECIAL_TOKENS_FILE, _ADDED_TOKENS_FILE,
)  # fmt: skip

#: Longer than any context: what files write for "no limit".
NO_LIMIT = 10**18

#: The options that name a token.
SPECIAL_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token", "mask_token")

_FLAGS = ("lstrip", "rstrip", "single_word", "normalized")


@dataclass(frozen=True)
class AddedToken:
    """A token beside a vocabulary's own.

    Attributes:
        content: Its text.
        index: Its id, where a file says one.
        special: Whether it is left out of decoded text on request.
        flags: ``lstrip``, ``rstrip``, ``single_word``, ``normalized``, where a file says them.
    """

    content: str
    index: int | None = None
    special: bool = True
    flags: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class TokenizerFiles:
    """The settings in the files beside a vocabulary.

    Attributes:
        fields: ``tokenizer_config.json`` as it is.
        options: Options of :class:`mf_core.PretrainedTokenizer` that the files set.
        tokens: The tokens that they add, by ascending id, and after them the special tokens that they name.
        older: Contents of the files that newer versions have merged into ``tokenizer_config.json``, where they exist.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    tokens: tuple[AddedToken, ...] = ()
    older: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def read_tokenizer_files(source: Source) -> TokenizerFiles:
    """Read the files beside a vocabulary; raise IntegrityError where one is broken."""
    config = read_json(source, TOKENIZER_CONFIG_FILE)
    has_table = isinstance(config.get("added_tokens_decoder"), dict)
    older = {name: read_json(source, name) for name in (_SPECIAL_TOKENS_FILE, _ADDED_TOKENS_FILE)}
    merged = config if has_table else {**config, **older[_SPECIAL_TOKENS_FILE]}
    named = {name: _token(merged[name], name, source) for name in SPECIAL_TOKENS if name in merged}
    extra = _extra_tokens(merged, source)
    options: dict[str, Any] = {name: token and token.content for name, token in named.items()}
    if extra:
        options["extra_special_tokens"] = [token.content for token in extra]
    if has_table:
        added = _table(config["added_tokens_decoder"], source)
    else:
        special = {token.content for token in (*named.values(), *extra) if token is not None}
        added = [
            AddedToken(text, index, text in special, {"normalized": text not in special})
            for text, index in older[_ADDED_TOKENS_FILE].items() if isinstance(index, int)
        ]  # fmt: skip
    added.sort(key=lambda token: token.index or 0)
    options.update(_plain_options(config))
    template = _chat_template(source, config)
    if template is not None:
        options["chat_template"] = template
    tokens = {token.content: token for token in (*extra, *named.values(), *added) if token is not None}
    ordered = [*added, *(token for token in tokens.values() if token.index is None)]
    return TokenizerFiles(config, options, tuple(ordered), {name: data for name, data in older.items() if data})


def write_tokenizer_files(
    directory: Path, read: TokenizerFiles, class_name: str, options: Mapping[str, Any], usual: Mapping[str, Any]
) -> None:
    """Write ``tokenizer_config.json``, and the older files where there were some.

    Args:
        directory: Where to; it exists.
        read: What was read. Fields that are no options stay as they are, and so do options in the form that the file
            had for them, unless they have changed.
        class_name: Of the tokenizer.
        options: Their values now.
        usual: Values that need not be written.
    """
    fields = {name: value for name, value in read.fields.items() if name not in ("chat_template", "max_len")}
    fields["tokenizer_class"] = class_name
    absent = object()
    for name, value in options.items():
        unchanged = read.options.get(name, absent) == value
        in_file = name in fields or (name == "extra_special_tokens" and "additional_special_tokens" in fields)
        if (unchanged and in_file) or (name not in read.options and usual.get(name, absent) == value):
            continue
        fields[name] = value
    write_json(directory / TOKENIZER_CONFIG_FILE, fields)
    for file, data in read.older.items():
        changed = {
            name: options[name] for name in data.keys() & options.keys()
            if file == _SPECIAL_TOKENS_FILE and options[name] != content(data[name])
        }  # fmt: skip
        write_json(directory / file, {**data, **changed})


def write_chat_templates(directory: Path, templates: str | Mapping[str, str] | None) -> None:
    """Write ``chat_template.jinja`` and ``additional_chat_templates``."""
    named = {"default": templates} if isinstance(templates, str) else dict(templates or {})
    for name, text in named.items():
        file = CHAT_TEMPLATE_FILE if name == "default" else f"{CHAT_TEMPLATE_FOLDER}/{name}.jinja"
        write_text(directory / file, text)


def read_json(source: Source, filename: str) -> dict[str, Any]:
    """Return a JSON file's mapping; empty where the source has no such file."""
    path = source.path(filename, required=False)
    return {} if path is None else read_config_file(path)


def content(value: Any) -> Any:
    """Return a token's text; files also write it as ``{"content": …}``."""
    return value["content"] if isinstance(value, Mapping) and "content" in value else value


def _token(value: Any, name: str, source: Source) -> AddedToken | None:
    if value is None:
        return None
    text = content(value)
    if not isinstance(text, str):
        raise IntegrityError(
            f"{name} in {source.location} is {shown(value)}, which is no token", value=value,
            why=f"it is read from {TOKENIZER_CONFIG_FILE} or {_SPECIAL_TOKENS_FILE}",
        )
    said = value if isinstance(value, Mapping) else {}
    flags = {flag: said[flag] for flag in _FLAGS if isinstance(said.get(flag), bool)}
    return AddedToken(text, None, bool(said.get("special", True)), flags)


def _extra_tokens(merged: Mapping[str, Any], source: Source) -> list[AddedToken]:
    """Return the special tokens beyond the named ones; version 5 has them under another key, and also by names."""
    values: list[Any] = []
    for key in ("extra_special_tokens", "additional_special_tokens"):
        listed = merged.get(key)
        if listed:
            values = list(listed.values()) if isinstance(listed, Mapping) else list(listed)
            break
    values += [
        value for name, value in merged.items()
        if name.endswith("_token") and name not in SPECIAL_TOKENS and isinstance(content(value), str)
    ]  # fmt: skip
    tokens = {token.content: token for value in values if (token := _token(value, "a special token", source))}
    return list(tokens.values())


def _table(table: Mapping[str, Any], source: Source) -> list[AddedToken]:
    tokens = []
    for index, value in table.items():
        token = _token(value, "a token of added_tokens_decoder", source)
        if token is None or not index.isdecimal():
            raise IntegrityError(f"added_tokens_decoder in {source.location} has no token for {index!r}", value=index)
        special = isinstance(value, Mapping) and bool(value.get("special", False))
        tokens.append(AddedToken(token.content, int(index), special, token.flags))
    return tokens


def _plain_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are no tokens; a null says nothing."""
    names = ("padding_side", "truncation_side", "add_bos_token", "add_eos_token", "prompt_special_tokens")
    options = {name: config[name] for name in names if config.get(name) is not None}
    for name in ("max_len", "model_max_length"):  # as version 2 calls it, and as later ones do
        limit = config.get(name)
        if limit is not None:
            options["model_max_length"] = NO_LIMIT if isinstance(limit, (int, float)) and limit > NO_LIMIT else limit
    return options


def _chat_template(source: Source, config: Mapping[str, Any]) -> str | dict[str, str] | None:
    """Return the chat template, or several by name; separate files go before the configuration's field."""
    templates: dict[str, str] = {}
    file = source.path(CHAT_TEMPLATE_FILE, required=False)
    if file is not None:
        templates["default"] = _text(file)
    for name in source.names(CHAT_TEMPLATE_FOLDER):
        path = source.path(f"{CHAT_TEMPLATE_FOLDER}/{name}", required=False)
        if name.endswith(".jinja") and path is not None:
            templates[name.removesuffix(".jinja")] = _text(path)
    if not templates:
        value = config.get("chat_template")
        if value is None or isinstance(value, str):
            return value
        try:
            pairs = value.items() if isinstance(value, Mapping) else [(one["name"], one["template"]) for one in value]
            templates = dict(pairs)
        except (TypeError, KeyError, ValueError) as error:
            raise IntegrityError(
                f"chat_template in {source.location} is {shown(value)}", value=value,
                why="it is neither a template nor a list of templates with a name each",
            ) from error
    return templates["default"] if list(templates) == ["default"] else templates or None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise IntegrityError(f"{path} is no text in UTF-8", value=str(path), why=str(error)) from error


def read_class_name(source: Source, kind: str) -> str | None:
    """Return the class that a checkpoint's own tokenizer or processor file names, or None."""
    file, keys = {
        "tokenizer": (TOKENIZER_CONFIG_FILE, ("tokenizer_class",)),
        "processor": ("preprocessor_config.json", ("processor_class", "image_processor_type")),
    }[kind]
    settings = read_json(source, file)
    name = next((settings[key] for key in keys if settings.get(key)), None)
    return name.removesuffix("Fast") if isinstance(name, str) else None
