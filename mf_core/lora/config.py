"""The settings of LoRA, and PEFT's file of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from ..errors import ArgumentError, IntegrityError, UnsupportedError
from ..utils.files import ADAPTER_FILE, read_config_file, write_json
from ..utils.paths import user_path
from ..utils.settings import Settings

#: What PEFT's file has beside the settings and changes no number.
_NOTES = {
    "auto_mapping", "base_model_name_or_path", "eva_config", "fan_in_fan_out", "inference_mode", "megatron_core",
    "peft_type", "peft_version", "qalora_group_size", "revision", "runtime_config", "task_type",
}  # fmt: skip

#: Ways to begin that leave the model's own weights alone.
_BEGINNINGS = (True, False, "gaussian", "orthogonal", "eva")

_Name = Annotated[str, Field(min_length=1)]


class LoraConfig(Settings):
    """Settings of LoRA, which cannot be changed once made.

    Attributes:
        r: Rank: rows of A and columns of B, at least 1.
        lora_alpha: What the adapters' output is multiplied by, times r; above 0.
        lora_dropout: Probability of dropping an element of the adapters' input in training, from 0 to below 1.
        target_modules: Names of the linear layers that get adapters, or how those end: ``("c_attn", "mlp.c_proj")``;
            None: the model's own default.
        modules_to_save: Names of cells, or how those end, that are trained and saved whole beside the adapters;
            None: the model's ``new_cells``.
        use_rslora: Divide by the square root of r rather than by r (Kalajdzievski, 2023).

    Raises:
        ArgumentError: A field is unknown or out of range.
    """

    model_config = ConfigDict(frozen=True)

    r: Annotated[int, Field(strict=True, ge=1)] = 8
    lora_alpha: Annotated[float, Field(gt=0)] = 16.0
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Annotated[tuple[_Name, ...], Field(min_length=1)] | None = None
    modules_to_save: tuple[_Name, ...] | None = None
    use_rslora: bool = False

    @property
    def scaling(self) -> float:
        """What the adapters' output is multiplied by."""
        return float(self.lora_alpha / (self.r**0.5 if self.use_rslora else self.r))

    @classmethod
    def from_peft(cls, data: Mapping[str, Any]) -> LoraConfig:
        """Return the settings that PEFT's file holds.

        Raises:
            UnsupportedError: It is of another kind of adapter, or uses what LoRA here does not support.
            ArgumentError: A field is out of range.
        """
        kind = data.get("peft_type")
        if kind != "LORA":
            raise UnsupportedError(
                f"the adapter's peft_type is {kind!r}", value=kind, why="of PEFT's adapters, only 'LORA' is read"
            )
        if isinstance(data.get("target_modules"), str):
            raise UnsupportedError(
                f"target_modules={data['target_modules']!r} is a regular expression", value=data["target_modules"],
                hint="write the layers' names, or how they end, as a list",
            )  # fmt: skip
        if data.get("init_lora_weights", True) not in _BEGINNINGS:
            raise UnsupportedError(
                f"init_lora_weights={data['init_lora_weights']!r} changes the model's own weights",
                value=data["init_lora_weights"],
                hint="convert it with PEFT's save_pretrained(…, path_initial_model_for_weight_conversion=…)",
            )
        own = {name: data[name] for name in cls.model_fields if name in data}
        for name, value in data.items():
            off = not value or (name, value) == ("bias", "none")
            if name not in own and name not in _NOTES and name != "init_lora_weights" and not off:
                raise UnsupportedError(f"the adapter's {name}={value!r} is not supported", value=value)
        return cls(**own)

    def to_peft(self, base: str | None = None, task: str | None = None) -> dict[str, Any]:
        """Return what PEFT's file holds.

        Args:
            base: Name or path of the model that the adapter is for.
            task: PEFT's name of the model's task, such as ``"CAUSAL_LM"``, by which its auto classes choose.
        """
        alpha = int(self.lora_alpha) if self.lora_alpha == int(self.lora_alpha) else self.lora_alpha
        return {
            "peft_type": "LORA",
            "task_type": task,
            "base_model_name_or_path": base,
            "r": self.r,
            "lora_alpha": alpha,
            "lora_dropout": self.lora_dropout,
            "target_modules": None if self.target_modules is None else list(self.target_modules),
            "modules_to_save": list(self.modules_to_save or ()) or None,
            "use_rslora": self.use_rslora,
            "bias": "none",
            "fan_in_fan_out": True,  # our layers' weights are (in, out)
            "inference_mode": True,
        }

    @classmethod
    def from_pretrained(cls, directory: str | Path) -> LoraConfig:
        """Return the settings in a directory's ``adapter_config.json``.

        Raises:
            FileNotFoundError, IntegrityError: It is not there, or is no such file.
            UnsupportedError: See :meth:`from_peft`.
        """
        return read_settings(user_path(directory) / ADAPTER_FILE)

    def save_pretrained(
        self, directory: str | Path, *, base: str | None = None, task: str | None = None
    ) -> None:
        """Write ``adapter_config.json`` into ``directory``, created if missing; see :meth:`to_peft`."""
        write_json(user_path(directory) / ADAPTER_FILE, self.to_peft(base, task))


def read_settings(path: Path) -> LoraConfig:
    """Return the settings in a file of PEFT's form; see :meth:`LoraConfig.from_pretrained`."""
    try:
        return LoraConfig.from_peft(read_config_file(path))
    except ArgumentError as error:
        raise IntegrityError(f"{path} does not fit", value=error.value, why=error.what) from error
