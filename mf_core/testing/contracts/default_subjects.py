"""Default subjects of a contract: local presets, and texts made of a vocabulary's tokens."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, Literal

from ...checkpoint.locate import locate
from ...errors import MFError
from ...plugins.registry import registry

if TYPE_CHECKING:
    from .plugin import PluginContract

#: Files by which a folder shows that it has what is looked for.
_FILES = {
    "weights": ("model.safetensors", "model.safetensors.index.json"),
    "tokenizer": (
        "tokenizer.json", "vocab.json", "vocab.model", "vocab.txt", "tokenizer.model", "tokenizer_config.json",
    ),
}  # fmt: skip


def local_presets(owner: str, model_type: str, what: Literal["weights", "tokenizer"]) -> list[str]:
    """Return the presets of a family whose files need no network.

    Those that the distribution ``owner`` offers come first, and of those the smallest configurations.
    """
    found = []
    for entry in registry.entries("preset"):
        preset = entry.preset
        if entry.model_type != model_type or preset is None or entry.name in preset.aliases:
            continue
        name = f"{entry.owner}:{entry.name}"
        if _is_local(name, what):
            found.append((entry.owner != owner, _size(preset.config), name))
    return [name for _, _, name in sorted(found)]


def offline_preset(contract: PluginContract, what: Literal["weights", "tokenizer"]) -> str:
    """Return the family's first preset whose files are here; skip the check where there is none."""
    model_type = contract.model_type  # type: ignore[attr-defined]
    names = local_presets(contract.owner, model_type, what)
    if not names:
        contract.skip(f"no preset of {model_type} has its {what} here, offline: set `source` to a folder that has")
    return names[0]


def _is_local(name: str, what: Literal["weights", "tokenizer"]) -> bool:
    try:
        source = getattr(locate(name), what)
    except MFError:
        return False
    location = "" if source is None else source.location
    if not location or location.startswith(("hub:", "http")):
        return False
    return any(source.path(file, required=False) is not None for file in _FILES[what])


def _size(config: Any) -> int:
    return int(config.get("hidden_size", config.get("n_embd", 1 << 20)))


def sample_texts(tokenizer: Any, count: int = 6) -> list[str]:
    """Return texts that are made of a vocabulary's own tokens, and that it therefore covers."""
    special = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}
    size = len(tokenizer)
    start = min(size // 4, 300)  # past bytes and controls, where vocabularies have those first
    words: list[str] = []
    for index in [*range(start, min(size, start + 2000)), *range(start)]:
        if len(words) == 2 * count:
            break
        if index in special:
            continue
        text = tokenizer.decode([index]).strip()
        if text and text.isprintable() and "\ufffd" not in text and text not in words:
            words.append(text)
    found = list(islice((word for word in words if tokenizer.encode(word, add_special_tokens=False)), count))
    pairs = (tokenizer.decode(tokenizer.encode(a + b, add_special_tokens=False)) for a, b in pairwise(words))
    return [*found, *(pair for pair in islice(pairs, 2) if pair.isprintable() and pair == pair.strip())]
