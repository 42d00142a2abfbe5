"""The one configuration of a study: a pydantic model, read from ``study.toml`` and overridden by flags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from mnas.budget import Budget, budget_key, parse_budget
from mnas.data_names import canonical_data, is_image_folder
from mnas.errors import ConfigError
from mnas.jsonio import shown
from mnas.objectives import Objective, read_objectives
from mnas.toml_text import read_toml

MAY_CHANGE_ON_RESUME = ("budget", "patience")
_AUTO = "auto"
_RESOLVED_KEYS = ("data", "preset")


class StudyConfig(BaseModel):
    """Everything that the result of a study depends on, apart from the device's own numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    space: str = Field("mobilenetv3", description="Family of the search space, or the path of a .toml file.")
    preset: str = Field(
        "auto", description="Preset of the space; auto takes the one named like the data, and none for a file."
    )
    data: str = Field(
        "auto",
        description="Data set, or the path of a folder of images; auto is fashion, or digits where that cannot be had.",
    )
    data_dir: str = Field("", description="Folder that holds the data set; empty looks in the usual places.")
    device: str = Field("host:ort", description="Device spec, e.g. host:litert,threads=1.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of everything random.")
    algorithm: str = Field("nsga2", min_length=1, description="Search algorithm, by name.")
    budget: int | str = Field(24, description="Networks whose accuracy is paid for, or time; see mnas.budget.")
    patience: int = Field(0, ge=0, description="Generations without a larger hypervolume before stopping; 0: never.")
    population: int = Field(8, ge=4, le=1000, description="Networks of one generation.")
    oversample: int = Field(16, ge=1, le=1000, description="Candidates looked at by latency for each one trained.")
    target_ms: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Latency target T; empty takes the median of the space."
    )
    alpha: float = Field(-0.07, le=0, allow_inf_nan=False, description="Exponent of LAT/T at or below T.")
    beta: float = Field(-0.07, le=0, allow_inf_nan=False, description="Exponent of LAT/T above T.")
    training: Literal["normal", "small"] = Field("normal", description="Length of all training.")
    finalists: int = Field(8, ge=1, le=100, description="Networks trained longer, re-measured and exported.")
    finalist_seeds: int = Field(2, ge=1, le=20, description="Seeds of each finalist.")
    lut: str = Field("", description="Id of a finished latency table, several in the devices' order; empty builds one.")
    allow_foreign_lut: bool = Field(False, description="Use that table even if it is of another device.")
    missing: Literal["refuse", "interpolate"] = Field(
        "refuse", description="Entries that the table lacks: refuse, or predict them from the others and say so."
    )
    lut_mode: Literal["accurate", "fast"] = Field("accurate", description="How segments are measured.")
    lut_rounds: int = Field(6, ge=3, le=1000, description="Visits of each segment.")
    lut_calibration: int = Field(12, ge=1, le=1000, description="Whole networks to calibrate the table on.")
    lut_validation: int = Field(12, ge=2, le=1000, description="Other whole networks to validate it on.")
    warm_start: tuple[str, ...] = Field((), max_length=100, description="Networks, fronts or studies to begin with.")
    objectives: str = Field("error,latency", description="What is minimised; see mnas.objectives.read_objectives.")
    other_devices: tuple[str, ...] = Field((), max_length=20, description="Devices beside the first, by number from 2.")
    combine: Literal["worst", "weighted"] = Field("worst", description="How latencies of several devices become one.")
    weights: tuple[float, ...] = Field((), description="Of the devices where they are weighted; empty: equal ones.")
    dtype: Literal["float32", "int8"] = Field("float32", description="Of the networks whose latency counts.")
    confidence: float = Field(0.0, ge=0, lt=1, description="q of the constraint P(latency <= T) >= q; 0: none.")
    accuracy: str = Field("proxy", min_length=1, description="Accuracy estimator, e.g. proxy, halving or command.")
    accuracy_cmd: str = Field("", description="Command of the estimator command; {architecture} is architecture.json.")
    accuracy_timeout: float = Field(3600.0, gt=0, allow_inf_nan=False, description="Seconds for one such command.")
    proxy_preset: Literal["", "mnasnet5"] = Field("", description="mnasnet5: 5 epochs, as MnasNet's authors train.")
    proxy_epochs: int = Field(0, ge=0, le=10_000, description="Epochs of proxy training; 0: the schedule's.")
    proxy_fraction: float = Field(1.0, gt=0, le=1, description="Part of the schedule's training images.")
    proxy_resolution: int = Field(0, ge=0, le=4096, description="Side of proxy training's images; 0: the network's.")
    proxy_width: float = Field(1.0, gt=0, le=1, description="Factor on the channels of the networks proxy-trained.")

    _budget = field_validator("budget", mode="before")(budget_key)

    @property
    def limits(self) -> Budget:
        """The budget, read."""
        return parse_budget(self.budget)

    @property
    def devices(self) -> tuple[str, ...]:
        """Specs of all devices, in the order of their numbers."""
        return (self.device, *self.other_devices)

    @property
    def tables(self) -> tuple[str, ...]:
        """Id of the latency table asked for on each device, "" where one is to be built."""
        given = [part.strip() for part in self.lut.split(",")]
        return (*given, *[""] * (len(self.devices) - len(given)))

    @property
    def sought(self) -> tuple[Objective, ...]:
        """The objectives in their order."""
        return read_objectives(self.objectives, len(self.devices))

    @field_validator("data")
    @classmethod
    def _canonical(cls, value: str) -> str:
        return canonical_data(value)

    @model_validator(mode="before")
    @classmethod
    def _algorithm_of_many(cls, values: Any) -> Any:
        """Take NSGA-III for three objectives and more where no algorithm is named."""
        if isinstance(values, dict) and "algorithm" not in values and str(values.get("objectives")).count(",") >= 2:
            return {**values, "algorithm": "nsga3"}
        return values

    @field_validator("weights", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _command_means_command(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("accuracy_cmd") and "accuracy" not in values:
            return {**values, "accuracy": "command"}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.devices)) < len(self.devices):
            raise ValueError(f"a device is named twice: {', '.join(self.devices)}")
        if len(self.tables) > len(self.devices):
            raise ValueError(f"lut names {len(self.tables)} tables, there are {len(self.devices)} devices")
        read_objectives(self.objectives, len(self.devices))
        if self.data == "imagenet":
            raise ValueError("data 'imagenet' is no data set here: name the folder of its images, e.g. ./imagenet@64")
        if self.data_dir and is_image_folder(self.data):
            raise ValueError("data_dir goes with a data set of a name; a folder of images is named by data alone")
        if bool(self.accuracy_cmd) != (self.accuracy == "command"):
            raise ValueError("accuracy_cmd is of the estimator command: give --accuracy-cmd alone, or with it")
        return self


def explain(error: ValidationError) -> str:
    """Return what is wrong with each key, in one line."""
    lines = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        seen = f" (saw {_seen(problem['input'])})" if place else ""
        lines.append(f"{place + ': ' if place else ''}{problem['msg']}{seen}"[:300])
    return "; ".join(lines)


def _seen(value: object) -> str:
    """Return a value as Python writes it, where it can: it cannot for numbers of thousands of digits."""
    try:
        return repr(value)
    except (ValueError, RecursionError):
        return shown(value)


def make_config(values: Mapping[str, Any]) -> StudyConfig:
    """Check and complete a configuration.

    Raises:
        ConfigError: ``CFG01``: an unknown key, or a value out of range; the message names each. ``CFG40`` to ``CFG42``:
            objectives that are none.
    """
    try:
        return StudyConfig(**values)
    except ValidationError as error:
        raise ConfigError(
            "CFG01",
            "the study's configuration is wrong",
            value=explain(error),
            why="every key must be known and within its range",
            fix="see mnas search --help",
        ) from error


def read_config_file(path: Path) -> dict[str, Any]:
    """Read the keys of a ``study.toml``; they are checked by `make_config`.

    Raises:
        ConfigError: ``CFG02``: no such file, or not TOML.
    """
    try:
        return read_toml(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            "CFG02", "the study file cannot be read", value=str(path), why=why, fix="correct it"
        ) from error


def merge_for_resume(stored: StudyConfig, asked: Mapping[str, Any]) -> StudyConfig:
    """Return the stored configuration with what may change on resuming.

    Args:
        stored: Of the study to be resumed.
        asked: Keys that were given now, in a file or as flags; ``auto`` leaves what it was resolved to.

    Raises:
        ConfigError: ``CFG03``: a key differs that the result depends on; ``CFG01``: a value is out of range.
    """
    # The stored form is resolved; "auto" asks for whatever that came to.
    asked = {key: value for key, value in asked.items() if not (key in _RESOLVED_KEYS and value == _AUTO)}
    checked = make_config({**stored.model_dump(), **asked})
    differing = [
        f"{key}: study {getattr(stored, key)!r}, now {getattr(checked, key)!r}"
        for key in asked
        if key not in MAY_CHANGE_ON_RESUME and getattr(checked, key) != getattr(stored, key)
    ]
    if differing:
        raise ConfigError(
            "CFG03",
            "the study to be resumed was started with another configuration",
            value="; ".join(differing),
            why=f"only {' and '.join(MAY_CHANGE_ON_RESUME)} may change, or its result would mean nothing",
            fix="leave these keys out, or start a new study without --resume",
        )
    return checked
