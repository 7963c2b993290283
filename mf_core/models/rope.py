"""Frequencies of rotary positions from the settings that ``config.json`` has for them.

The kinds are those of transformers: ``default``, ``linear`` (Chen et al., 2023), ``dynamic`` (NTK-aware, which within
the model's context is the default), ``llama3``, ``yarn`` (Peng et al., 2023) and ``longrope`` (Ding et al., 2024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError, UnsupportedError
from .layer_spec import RotarySpec

KINDS = ("default", "linear", "dynamic", "llama3", "yarn", "longrope")

#: What the kinds cannot do without.
_NEEDED = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "yarn": ("factor",),
    "longrope": ("short_factor", "long_factor"),
}


def rotary_spec(settings: Mapping[str, Any], width: int, length: int, *, interleaved: bool = False) -> RotarySpec:
    """Return the declaration of rotary positions.

    Args:
        settings: ``rope_theta`` and, for other kinds than the default, ``rope_type`` (or ``type``) with its numbers.
        width: Elements of a head that are rotated, R.
        length: The model's context (``max_position_embeddings``).
        interleaved: Whether pairs are neighbours.

    Raises:
        UnsupportedError: The kind is unknown.
        ConfigError: A number that it needs is missing.
    """
    kind = str(settings.get("rope_type") or settings.get("type") or "default")
    kind = {"su": "longrope", "mrope": "default"}.get(kind, kind)
    base = float(settings.get("rope_theta") or 10000.0)
    missing = [name for name in _NEEDED.get(kind, ()) if settings.get(name) is None]
    if missing:
        raise ConfigError(
            f"rotary positions of the kind {kind!r} have no {missing[0]!r}", value=kind,
            hint=f"they need {', '.join(_NEEDED[kind])}",
        )  # fmt: skip
    if kind not in KINDS:
        raise UnsupportedError(
            f"rotary positions of the kind {kind!r} are not supported", value=kind,
            hint=f"the kinds are {', '.join(KINDS)}",
        )  # fmt: skip
    plain = tuple(base ** -(2 * i / width) for i in range(width // 2))
    factor = float(settings.get("factor") or 1.0)
    if kind == "linear":
        return RotarySpec(tuple(f / factor for f in plain), interleaved=interleaved)
    if kind == "llama3":
        return RotarySpec(_llama3(plain, settings, factor), interleaved=interleaved)
    if kind == "yarn":
        frequencies, scale = _yarn(plain, settings, base, width, length, factor)
        return RotarySpec(frequencies, scale, interleaved)
    if kind == "longrope":
        return _longrope(plain, settings, length, interleaved)
    return RotarySpec(plain, interleaved=interleaved)


def _llama3(plain: tuple[float, ...], settings: Mapping[str, Any], factor: float) -> tuple[float, ...]:
    """Slow frequencies are divided by ``factor``, fast ones kept, those between interpolated."""
    original = float(settings["original_max_position_embeddings"])
    low, high = float(settings["low_freq_factor"]), float(settings["high_freq_factor"])

    def scaled(frequency: float) -> float:
        turns = original * frequency / (2 * math.pi)
        if turns > high:
            return frequency
        if turns < low:
            return frequency / factor
        smooth = (turns - low) / (high - low)
        return (1 - smooth) * frequency / factor + smooth * frequency

    return tuple(map(scaled, plain))


def _yarn(
    plain: tuple[float, ...], settings: Mapping[str, Any], base: float, width: int, length: int, factor: float
) -> tuple[tuple[float, ...], float]:
    """Return frequencies, interpolated by how often they turn in the original context, and the factor of attention."""
    original = float(settings.get("original_max_position_embeddings") or length)

    def temperature(scale: float, times: float = 1.0) -> float:
        return 1.0 if scale <= 1 else 0.1 * times * math.log(scale) + 1.0

    attention = settings.get("attention_factor")
    mscale, mscale_all = float(settings.get("mscale") or 0), float(settings.get("mscale_all_dim") or 0)
    if attention is None:
        both = mscale and mscale_all
        attention = temperature(factor, mscale) / temperature(factor, mscale_all) if both else temperature(factor)

    def dimension(turns: float) -> float:
        return width * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    low = dimension(float(settings.get("beta_fast") or 32))
    high = dimension(float(settings.get("beta_slow") or 1))
    if settings.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    high += 0.001 if low == high else 0

    def scaled(number: int, frequency: float) -> float:
        kept = 1 - min(1.0, max(0.0, (number - low) / (high - low)))
        return frequency / factor * (1 - kept) + frequency * kept

    return tuple(scaled(i, f) for i, f in enumerate(plain)), float(attention)


def _longrope(
    plain: tuple[float, ...], settings: Mapping[str, Any], length: int, interleaved: bool
) -> RotarySpec:
    """Each frequency is divided by its own number, one for short texts and one for long ones."""
    original = int(settings.get("original_max_position_embeddings") or length)
    attention = settings.get("attention_factor")
    if attention is None:
        grown = float(settings.get("factor") or length / original)
        attention = 1.0 if grown <= 1 else math.sqrt(1 + math.log(grown) / math.log(original))
    short, long = (tuple(f / float(d) for f, d in zip(plain, settings[name], strict=True))
                   for name in ("short_factor", "long_factor"))  # fmt: skip
    return RotarySpec(short, float(attention), interleaved, long, original)
