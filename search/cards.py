"""The card that goes with every exported network."""

from __future__ import annotations

from typing import Any

from latency.table import LatencyTable
from mnas.architecture import Architecture
from mnas.counts import total_macs, total_params
from mnas.layers import layers_of
from search.data.dataset import Dataset
from search.data.preprocessing import preprocessing_of
from search.foreign import device_words
from search.result import FrontMember, StudyResult


def make_card(
    result: StudyResult, member: FrontMember, architecture: Architecture, dataset: Dataset, table: LatencyTable
) -> dict[str, Any]:
    """Return ``card.json`` of a finalist; docs/contracts.md describes the keys."""
    layers = layers_of(architecture)
    return {
        "schema": "mnas.card/1",
        "arch_id": member.arch_id,
        "study": result.study_id,
        "summary": f"Found by study {result.study_id} in the space {table.space} for {dataset.name}.",
        "preprocessing": preprocessing_of(dataset, architecture),
        "class_labels": list(dataset.class_names),
        "dtype": "float32",
        "macs": total_macs(layers),
        "params": total_params(layers),
        "latency": {
            "predicted_ms": member.candidate.predicted_ms,
            "is_table_validated": all(one.is_validated for one in result.tables),
            "measured_ms": member.measured_ms,
            "interval_ms": list(member.interval_ms) if member.interval_ms else None,
            "verdict": member.verdict,
            **_measured_on(result, table),
            "lut_id": table.lut_id,
            "lut_marks": result.lut_marks,
            "foreign_lut": result.foreign_lut.stamp() if result.foreign_lut else None,
            "dtype": table.dtype,
            "device_ms": dict(zip(result.devices, member.device_ms, strict=True)),
        },
        "accuracy": _accuracy(member),
        "data": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "versions": result.versions,
    }


def _measured_on(result: StudyResult, table: LatencyTable) -> dict[str, Any]:
    """Return the device that measured: the table's, unless that is foreign."""
    device = result.foreign_lut.measured_on if result.foreign_lut else table.device.to_json()
    key = result.session["device_key"] if result.foreign_lut and result.session else table.device_key
    return {"device": device_words(device), "device_key": key, "is_simulated": device["is_simulated"]}


def _accuracy(member: FrontMember) -> list[dict[str, Any]]:
    """Return one row for each split, and one for the weights that are exported; seeds are texts, being 63 bits long."""
    seeds = [str(seed) for seed in member.seeds]
    rows: list[dict[str, Any]] = []
    for split, errors, images in (
        ("val", member.val_errors, member.val_images),
        ("test", member.test_errors, member.test_images),
    ):
        if errors:
            note = f"mean of {len(errors)} seeds" + ("; read after the choice was made" if split == "test" else "")
            top1 = 1 - sum(errors) / len(errors)
            rows.append({"split": split, "top1": top1, "images": images, "seeds": seeds, "note": note})
    if member.exported_test_error is not None:
        own_seeds = [str(member.exported_seed)]
        own = {"top1": 1 - member.exported_test_error, "images": member.test_images, "seeds": own_seeds}
        rows.append({"split": "test", **own, "note": "the exported weights"})
    return rows
