"""The configuration of a study on a table of networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mnas.budget import Budget, budget_key, parse_budget
from mnas.config import explain
from mnas.errors import ConfigError

MAY_CHANGE_ON_RESUME = ("budget", "patience")


class TabularConfig(BaseModel):
    """Everything that the result of a study on a table depends on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    table: str = Field(description="The file.")
    table_sha256: str = Field(description="Of its content.")
    objectives: str = Field(description="Such as top1:max,latency_ms:min; the cheap one last.")
    genes: tuple[str, ...] = Field((), description="Columns of genes; empty takes keys, or a column genome or genes.")
    algorithm: str = Field("nsga2", min_length=1, description="Search algorithm, by name.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of everything random.")
    budget: int | str = Field(200, description="Networks evaluated, or time.")
    patience: int = Field(0, ge=0, description="Generations without a larger hypervolume before stopping; 0: never.")
    population: int = Field(20, ge=4, le=1000, description="Networks of one generation.")
    oversample: int = Field(1, ge=1, le=1000, description="Candidates looked at by the cheap objective for each one.")
    target: float | None = Field(None, gt=0, allow_inf_nan=False, description="T of the reward; empty: a median.")
    alpha: float = Field(-0.07, le=0, allow_inf_nan=False, description="Exponent of the cheap objective at or below T.")
    beta: float = Field(-0.07, le=0, allow_inf_nan=False, description="Exponent above T.")
    reference_point: tuple[float, ...] = Field((), description="Minimised; empty: the worst of the table.")

    _budget = field_validator("budget", mode="before")(budget_key)

    @field_validator("budget")
    @classmethod
    def _no_device_time(cls, value: int | str) -> int | str:
        if parse_budget(value).device_s is not None:
            raise ValueError("a table of networks takes no time of a device: give evaluations or time")
        return value

    @property
    def limits(self) -> Budget:
        """The budget, read."""
        return parse_budget(self.budget)

    def group(self) -> dict[str, Any]:
        """Return what studies share that differ by seed alone."""
        return self.model_dump(exclude={"seed", "table", "schema_version"}, mode="json")


def make_tabular_config(values: Mapping[str, Any]) -> TabularConfig:
    """Check and complete a configuration.

    Raises:
        ConfigError: ``CFG01``: an unknown key, or a value out of range; the message names each.
    """
    try:
        return TabularConfig(**values)
    except ValidationError as error:
        raise ConfigError(
            "CFG01",
            "the study's configuration is wrong",
            value=explain(error),
            why="every key must be known and within its range",
            fix="see mnas study run --help",
        ) from error


def merge_tabular(stored: TabularConfig, asked: Mapping[str, Any]) -> TabularConfig:
    """Return the stored configuration with what may change on resuming.

    Args:
        stored: Of the study to be resumed.
        asked: Keys that were given now.

    Raises:
        ConfigError: ``CFG03``: a key differs that the result depends on; ``CFG01``: a value is out of range.
    """
    checked = make_tabular_config({**stored.model_dump(), **asked})
    differing = [
        f"{key}: study {getattr(stored, key)!r}, now {getattr(checked, key)!r}"
        for key in asked
        if key not in (*MAY_CHANGE_ON_RESUME, "table") and getattr(checked, key) != getattr(stored, key)
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
