"""The best networks of a study at its target, as files: whole exports of finalists, architectures of the others."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mnas.architecture import Architecture
from mnas.counts import total_macs, total_params
from mnas.errors import StudyError
from mnas.jsonio import write_json_atomic, write_text_atomic
from mnas.layers import layers_of
from mnas.report.markdown import inline
from mnas.space import SearchSpace
from search.candidate import Candidate
from search.result import StudyResult

By = Literal["reward", "accuracy"]


@dataclass(frozen=True, slots=True)
class TopNetwork:
    """One of the best.

    Attributes:
        rank: From 1.
        arch_id: Of its architecture.
        reward: MnasNet's, by what is known best of it.
        top1: On ``split``, 0..1.
        split: ``val`` (several seeds, long training) or ``rank-val`` (one short training).
        ms: Latency.
        latency_source: ``measured``, or how it was predicted.
        is_within_target: Whether that is at most T.
        export: The study's export folder below the output folder, or ``None`` where it has no weights.
    """

    rank: int
    arch_id: str
    reward: float
    top1: float
    split: str
    ms: float
    latency_source: str
    is_within_target: bool
    export: str | None


def top_networks(result: StudyResult, count: int, by: By = "reward") -> list[TopNetwork]:
    """Return the best networks of a study, finalists before candidates: long training and measuring outweigh ranking.

    Args:
        result: The study.
        count: At most so many.
        by: ``reward``, or ``accuracy`` among networks with a latency of at most T.

    Raises:
        StudyError: ``STU09``: there is none.
    """
    target = result.goal.target_ms if result.goal else float("inf")
    found = [*_finalists(result, target), *_others(result, target)]
    if by == "accuracy":
        found = [one for one in found if one.is_within_target]
    found.sort(key=lambda one: (one.split != "val", -one.reward if by == "reward" else -one.top1, one.ms, one.arch_id))
    if not found:
        raise StudyError(
            "STU09",
            "the study has no network to export",
            value=result.study_id,
            why=f"none is trained yet{', or none is within the target' if by == 'accuracy' else ''}",
            fix="see mnas study show --candidates; take --by reward, or let the study go on with --resume",
        )
    return [TopNetwork(**{**asdict(one), "rank": rank}) for rank, one in enumerate(found[:count], 1)]


def _finalists(result: StudyResult, target: float) -> list[TopNetwork]:
    return [
        TopNetwork(
            rank=0,
            arch_id=member.arch_id,
            reward=member.reward,
            top1=1 - member.val_error,
            split="val",
            ms=member.measured_ms,
            latency_source="measured",
            is_within_target=member.measured_ms <= target,
            export=member.export,
        )
        for member in result.members
        if member.reward is not None and member.val_error is not None and member.measured_ms is not None
    ]


def _others(result: StudyResult, target: float) -> list[TopNetwork]:
    judged = {one.arch_id for one in _finalists(result, target)}
    return [
        TopNetwork(
            rank=0,
            arch_id=one.arch_id,
            reward=one.reward,
            top1=1 - one.error,
            split="rank-val",
            ms=one.latency_ms,
            latency_source=_source_of(one),
            is_within_target=one.latency_ms <= target,
            export=None,
        )
        for one in result.candidates
        if one.arch_id not in judged and one.reward is not None and one.error is not None and not one.score
    ]


def _source_of(candidate: Candidate) -> str:
    """Return where the latency that counted came from: measured in the search, or as it was predicted."""
    own = next((value.source for value in candidate.values if value.key == "latency"), "")
    return own or candidate.latency_source


def write_top(result: StudyResult, top: list[TopNetwork], space: SearchSpace, out: Path, folder: Path) -> None:
    """Write a folder for each network, ``1-<12 digits of arch_id>`` and so on, and ``top.json``.

    A finalist's folder is a copy of its export: architecture, weights, ONNX, TFLite, card. Another candidate's weights
    were not kept, so that its folder has the architecture and a card that says so.

    Args:
        result: The study.
        top: Of `top_networks`.
        space: Of the study.
        out: Its output folder.
        folder: Made if it is not there; what other files it holds stays.
    """
    genomes = {one.arch_id: one.genome for one in result.candidates}
    for one in top:
        target = folder / f"{one.rank}-{one.arch_id[:12]}"
        source = out / one.export if one.export else None
        if source is not None and source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            _write_architecture(result, one, space.decode(genomes[one.arch_id]), target)
    about = {"schema": "mnas.top/1", "study": result.study_id, **stamps_of(result)}
    write_json_atomic(folder / "top.json", {**about, "networks": [asdict(one) for one in top]})


def stamps_of(result: StudyResult) -> dict[str, Any]:
    """Return what must be said of the devices and tables behind the latencies."""
    foreign = result.foreign_lut.stamp() if result.foreign_lut else None
    return {"is_simulated": result.is_simulated, "lut_marks": result.lut_marks, "foreign_lut": foreign}


def _source_text(result: StudyResult, one: TopNetwork) -> str:
    """Return where a latency comes from, with all that must be said of it, for a cell of Markdown."""
    words = [one.latency_source, *(["SIMULATED"] if result.is_simulated else [])]
    words += [f"by the FOREIGN table of {result.foreign_lut.device}"] if result.foreign_lut else []
    words += [mark for mark in result.lut_marks if mark not in words]
    return inline(", ".join(words))


def _write_architecture(result: StudyResult, one: TopNetwork, architecture: Architecture, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    layers, source = layers_of(architecture), _source_text(result, one)
    card: dict[str, Any] = {
        "schema": "mnas.architecture-card/1",
        "study": result.study_id,
        **asdict(one),
        **stamps_of(result),
        "macs": total_macs(layers),
        "params": total_params(layers),
        "weights": None,
    }
    write_json_atomic(folder / "architecture.json", architecture.to_json())
    write_json_atomic(folder / "card.json", card)
    write_text_atomic(
        folder / "card.md",
        f"# Network {one.arch_id[:12]}\n\nRank {one.rank} of study {inline(result.study_id)}, without weights: it was "
        f"trained shortly, to be ranked, and its weights were not kept.\n\n| | |\n|---|---|\n"
        f"| top-1 on {one.split} | {100 * one.top1:.2f} % |\n| latency | {one.ms:.4f} ms, {source} |\n"
        f"| reward | {one.reward:.4f} |\n| MACs, parameters | {card['macs']:,}, {card['params']:,} |\n\n"
        "`mnas export architecture.json` writes ONNX and TFLite with random weights, good for timing alone.\n",
    )
