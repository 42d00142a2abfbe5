"""The card of a network that ``mnas train`` trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from mnas.counts import total_macs, total_params
from mnas.export.int8_report import Int8Report
from mnas.layers import layers_of
from search.data.preprocessing import preprocessing_of
from search.finishing.request import SPLITS, Chosen, FinishRequest
from search.finishing.trainings import Trainings


def finished_card(
    request: FinishRequest,
    network: Chosen,
    trainings: Trainings,
    int8: Mapping[str, Int8Report],
    tied_with: Sequence[str],
) -> dict[str, Any]:
    """Return ``card.json``; docs/contracts.md describes the keys."""
    layers = layers_of(network.architecture)
    return {
        "schema": "mnas.card/1",
        "arch_id": network.architecture.arch_id,
        "study": f"train-{request.key(network)}",
        "summary": f"{network.name}, trained on {request.dataset.name} with {request.schedule.fidelity}.",
        "preprocessing": preprocessing_of(request.dataset, network.architecture),
        "class_labels": list(request.dataset.class_names),
        "dtype": "float32",
        "macs": total_macs(layers),
        "params": total_params(layers),
        "latency": None,
        "accuracy": _accuracy(trainings, int8),
        "ties_with": list(tied_with),
        "training": {
            "schedule": request.schedule.to_json(),
            "fidelity": request.schedule.fidelity,
            "teacher": request.teacher or None,
            "teacher_sha256": request.teacher_fingerprint or None,
            "failures": {str(repeat): one.error_message for repeat, one in trainings.outcomes.items() if not one.is_ok},
        },
        "data": {"name": request.dataset.name, "fingerprint": request.dataset.fingerprint},
        "versions": {name: version(name) for name in ("mnas", "torch")},
    }


def _accuracy(trainings: Trainings, int8: Mapping[str, Int8Report]) -> list[dict[str, Any]]:
    """Return a row for each split over all seeds, one for the exported weights, and one for each file of integers."""
    good, best = trainings.good, trainings.good[trainings.best]
    rows: list[dict[str, Any]] = []
    for split in SPLITS:
        top1, half = trainings.top1(split)
        interval = [top1 - half, top1 + half] if half is not None else None
        seeds = [str(one.seed) for one in good.values()]
        note = f"mean of {len(good)} seeds"
        note += f", 95 % interval of it +- {100 * half:.2f} points" if half is not None else ""
        rows.append(
            {
                "split": split,
                "top1": top1,
                "interval": interval,
                "images": best.images[split],
                "seeds": seeds,
                "note": note,
            }
        )
    own = {"top1": 1 - best.errors["test"], "images": best.images["test"], "seeds": [str(best.seed)]}
    rows.append({"split": "test", **own, "interval": None, "note": "the exported weights, chosen by val"})
    for model_format, report in int8.items():
        found = report.accuracy
        rows.append(
            {
                "split": "val",
                "top1": found.top1_int8,
                "interval": None,
                "images": found.images,
                "seeds": [str(best.seed)],
                "note": f"int8 {model_format}, {found.loss_points:+.2f} points below float32 on the same images",
            }
        )
    return rows
