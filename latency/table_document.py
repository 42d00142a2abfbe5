"""A table as JSON, ``mnas.lut/1``: everything but the visits that it was measured by, and read back strictly."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from devices.device import DeviceInfo
from latency.calibration import Calibration
from latency.importers.text import decoded
from latency.key import segment_from_json, segment_key, segment_to_json
from latency.origin import Origin
from latency.saving import MeasuredNetwork
from latency.table import LatencyTable, LutEntry
from latency.uncertainty import PackedDraws, TableDraws, Uncertainty
from latency.validation import Validation
from mnas.errors import ArchitectureError, LutError
from mnas.export.network import Dtype
from mnas.jsonio import canonical_json
from mnas.layers import layers_of_blocks
from mnas.segments import Segment

SCHEMA = "mnas.lut/1"
_Size = Annotated[int, Field(ge=1, le=65_536)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class _Segment(_Part):
    role: Literal["stem", "block", "head"]
    in_shape_chw: tuple[_Size, _Size, _Size]
    blocks: Annotated[list[dict[str, Any]], Field(min_length=1, max_length=100)]


class _Entry(_Part):
    key: str
    segment: _Segment
    value: LutEntry
    draws: str | None = None


class _Document(_Part):
    """The form of the file; its parts that are dataclasses are checked by the same rules."""

    schema_name: Literal["mnas.lut/1"] = Field(alias="schema")
    lut_id: Annotated[str, Field(max_length=200)]
    created_at_utc: Annotated[str, Field(max_length=50)]
    space: Annotated[str, Field(max_length=1000)]
    device: DeviceInfo
    device_key: str
    dtype: Dtype
    batch: int
    settings: dict[str, Any]
    calibration: Calibration
    validation: Validation | None
    uncertainty: Uncertainty
    calibration_draws: str | None
    consistency: dict[str, Any] | None
    origin: Origin | None
    entries: Annotated[list[_Entry], Field(min_length=1)]
    networks: list[MeasuredNetwork]


def _refuse(what: str, value: object, why: str, fix: str = "export it anew: mnas lut export --to json") -> LutError:
    return LutError("LUT33", what, value=value, why=why, fix=fix)


@dataclass(frozen=True, slots=True)
class ReadTable:
    """What a document holds.

    Attributes:
        table: The table as it was where it was exported.
        networks: Whole networks that it was calibrated and validated on.
        consistency: Of the devices that shared its build.
    """

    table: LatencyTable
    networks: list[MeasuredNetwork]
    consistency: dict[str, Any] | None


def table_document(
    table: LatencyTable, networks: list[MeasuredNetwork], consistency: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a table as JSON; docs/tables.md describes the keys."""
    packed = table.draws.pack() if table.draws else None
    draws = [_text_of(row) for row in packed.entries] if packed else [None] * len(table.entries)
    return {
        "schema": SCHEMA,
        "lut_id": table.lut_id,
        "created_at_utc": table.created_at_utc,
        "space": table.space,
        "device": table.device.to_json(),
        "device_key": table.device_key,
        "dtype": table.dtype,
        "batch": table.batch,
        "settings": table.settings,
        "calibration": table.calibration.to_json(),
        "validation": table.validation.to_json() if table.validation else None,
        "uncertainty": table.uncertainty.to_json(),
        "calibration_draws": _text_of(packed.calibrations) if packed else None,
        "consistency": consistency,
        "origin": table.origin.to_json() if table.origin else None,
        "entries": [
            {"key": segment_key(segment), "segment": segment_to_json(segment), "value": asdict(entry), "draws": drawn}
            for (segment, entry), drawn in zip(table.entries.items(), draws, strict=True)
        ],
        "networks": [asdict(network) for network in networks],
    }


def _text_of(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def read_document(data: bytes) -> ReadTable:
    """Return the table of a file, as it was where it was exported.

    Raises:
        LutError: ``LUT30`` not JSON, ``LUT32`` an entry that is none, ``LUT33`` JSON of another schema, with a name
            twice, or one that contradicts itself.
    """
    text = decoded(data)
    _require_plain(text)
    try:
        document = _Document.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}" for one in error.errors()[:5]
        )
        raise _refuse("the file is no latency table of this version", problems, f"it reads {SCHEMA}") from error
    _require_consistent(document)
    table = LatencyTable(
        lut_id=document.lut_id,
        space=document.space,
        device=document.device,
        dtype=document.dtype,
        batch=document.batch,
        settings=document.settings,
        entries=_entries(document),
        calibration=document.calibration,
        validation=document.validation,
        created_at_utc=document.created_at_utc,
        uncertainty=document.uncertainty,
        draws=_draws(document),
        origin=document.origin,
    )
    return ReadTable(table, document.networks, document.consistency)


def _require_plain(text: str) -> None:
    """Refuse what JSON parsers disagree about: NaN, infinities, names that are there twice, endless nesting."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        names = dict(found)
        if len(names) != len(found):
            twice = next(name for i, (name, _) in enumerate(found) if name in dict(found[:i]))
            raise _refuse("a name that is there twice", twice[:100], "nobody knows which of them is meant")
        return names

    def constant(name: str) -> Any:
        raise _refuse("a number that is not finite", name, "every number of a table is finite")

    try:
        canonical_json(json.loads(text, object_pairs_hook=pairs, parse_constant=constant))
    except (ValueError, RecursionError) as error:
        raise LutError(
            "LUT30", "the file is not JSON", why=str(error)[:200], fix="name another file, or its --layout"
        ) from error


def _require_consistent(document: _Document) -> None:
    if document.batch != 1:
        seen = f"batch {document.batch}"
        raise _refuse("a table of another batch", seen, "this version knows batch 1", "use a later version")
    about = (document.device.to_json(), document.origin.to_json() if document.origin else None)
    if not all(map(str.isprintable, _texts((document.lut_id, document.space, document.created_at_utc, *about)))):
        raise _refuse("a text with control characters", "device, origin, space or id", "they would reach terminals")
    if not document.calibration.scale > 0:
        raise _refuse("a calibration that is none", document.calibration.scale, "a scale is positive")
    if document.device.device_key != document.device_key:
        seen = f"{document.device_key[:16]}, its device has {document.device.device_key[:16]}"
        raise _refuse("a device_key that is not the device's", seen, "one of them was changed")
    if len({network.arch_id for network in document.networks}) != len(document.networks):
        raise _refuse("a whole network that is there twice", "networks", "each is calibrated or validated on once")
    if not {network.purpose for network in document.networks} <= {"calibration", "validation"}:
        raise _refuse("a whole network of another purpose", "networks", "known are calibration and validation")
    if not all(abs(number) < 2**63 for network in document.networks for number in (network.macs, network.block_params)):
        raise _refuse("a whole network with a count beyond all counts", "networks", "counts take 63 bits")


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _draws(document: _Document) -> TableDraws | None:
    """Return the draws if every entry and the calibration has as many, and all are finite."""
    texts = [entry.draws for entry in document.entries]
    if document.calibration_draws is None and not any(text is not None for text in texts):
        return None
    try:
        rows = tuple(base64.b64decode(text or "", validate=True) for text in texts)
        calibrations = base64.b64decode(document.calibration_draws or "", validate=True)
        draws = PackedDraws(rows, calibrations).unpack()
    except ValueError as error:
        raise _refuse("draws that are none", str(error)[:200], "they are numbers of 4 bytes in base64") from error
    numbers = (draws.entries_ms, draws.calibrations)
    count = len(draws.calibrations)
    if not count or draws.entries_ms.shape[1] != count or not all(math.isfinite(n.sum()) for n in numbers):
        raise _refuse("draws that are none", draws.entries_ms.shape, "each entry and the calibration has as many")
    return draws


def _entries(document: _Document) -> dict[Segment, LutEntry]:
    entries: dict[Segment, LutEntry] = {}
    for number, entry in enumerate(document.entries):
        segment = read_segment(entry.segment.model_dump(), f"entries[{number}]")
        if segment_key(segment) != entry.key:
            raise _refuse("an entry whose key is not its segment's", segment.label(), "one of them was changed")
        if segment in entries:
            raise _refuse("a segment that is there twice", segment.label(), "nobody knows which of them is meant")
        entries[segment] = checked_entry(entry.value, segment.label())
    return entries


def read_segment(value: dict[str, Any], place: str) -> Segment:
    """Read a segment strictly.

    Raises:
        LutError: ``LUT32``: it is none; the message names the place.
    """
    try:
        parsed = _Segment.model_validate_json(canonical_json(value))
        segment = segment_from_json(parsed.model_dump())
        layers_of_blocks(segment.blocks, segment.in_shape_chw)
    except (ArchitectureError, ValueError, RecursionError) as error:
        raise LutError(
            "LUT32", "a segment that is none", value=place, why=str(error)[:300], fix="correct or remove the entry"
        ) from error
    return segment


def checked_entry(entry: LutEntry, label: str) -> LutEntry:
    """Return an entry if it can be one: its interval holds the latency, which is below zero by noise alone.

    Raises:
        LutError: ``LUT32``: it cannot.
    """
    why = ""
    if not entry.low_ms <= entry.latency_ms <= entry.high_ms:
        why = "the interval does not hold the latency"
    elif entry.latency_ms + (entry.high_ms - entry.low_ms) < 0:
        why = "a latency is not negative; noise explains less than the width of its interval"
    elif not 0 <= entry.samples < 2**63 or len(entry.verdict) > 100 or not entry.verdict.isprintable():
        why = "it has no count of samples, or no verdict"
    if why:
        seen = f"{label}: {entry.latency_ms:g} ms in {entry.low_ms:g}..{entry.high_ms:g}"
        raise LutError("LUT32", "an entry that is none", value=seen, why=why, fix="correct or remove the entry")
    return entry
