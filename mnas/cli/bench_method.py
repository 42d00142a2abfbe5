"""How a bench run was measured, in plain words and in settings, as parts of its page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mnas.report.page import Cell, KeyValues, Paragraph, Part, Table

if TYPE_CHECKING:
    from devices.device import DeviceInfo
    from devices.run import BenchRun


def device_name(info: DeviceInfo) -> str:
    """Return what a device is called on a page; a phone's spec holds its serial and is not shown."""
    return info.device_id if info.kind in ("host", "simulated") else f"{info.model} / {info.runtime}"


def _count(value: Any, what: str) -> str:
    return f"{value} {what}{'' if value == 1 else 's'}"


def method_text(run: BenchRun) -> str:
    """Return how the latencies came about, for a reader who does not know the protocol."""
    session, protocol = run.session, run.session.get("protocol") or {}
    rounds = run.stopping.get("rounds", protocol.get("rounds", "?"))
    runs = f"{protocol.get('min_runs', '?')} to {protocol.get('max_runs', '?')}"
    names = ", ".join(session.get("reference_ms") or {}) or "none"
    fresh = ""
    if "rounds_per_launch" in protocol:
        fresh = (
            f" After every {_count(protocol['rounds_per_launch'], 'round')} or more, a fresh process loads all anew."
        )
    return (
        f"All models were visited every round, in random order, over {_count(rounds, 'round')}.{fresh} A visit began "
        f"with {_count(protocol.get('warmup', '?'), 'discarded run')}; then came {runs} timed ones, as many as take "
        f"about {protocol.get('visit_ms', '?')} ms together. Reference networks ({names}) ran before, after and "
        "between the models of each round. For latency_ms the median of a model's runs in a round is divided by how "
        "much slower or faster than at calibration the references ran in that round, the weighted median of them; the "
        "middle half of the rounds counts. A machine that is slow for a while slows both, so that it does not show in "
        "latency_ms, as far as both are slowed alike. The 95 % interval comes from drawing the rounds anew "
        f"{protocol.get('resamples', '?')} times, whole processes first; it knows this session only. Percentiles and "
        "histograms marked raw are not corrected in any way."
    )


def _reference_table(session: Mapping[str, Any]) -> list[Part]:
    """Return what the references took in the session, beside their nominals."""
    found = session.get("reference_ms") or {}
    nominals = session.get("reference_nominals_ms") or {}
    if not found:
        return []
    rows: list[list[Cell]] = []
    for name, value in found.items():
        nominal = nominals.get(name)
        rows.append([name, value, nominal, value / nominal if nominal else None])
    heads = ["reference network", "in this session, raw (ms)", "nominal (ms)", "over nominal"]
    return [Table(heads, rows, align="lrrr", formats=["", ".4g", ".4g", ".3f"], sortable=False)]


def _text(value: Any) -> Cell:
    if isinstance(value, bool) or value is None or isinstance(value, str | int | float):
        return value if value != "" else None
    if isinstance(value, list | tuple) and all(isinstance(one, str | int | float) for one in value):
        return ", ".join(str(one) for one in value) or None
    return json.dumps(value, ensure_ascii=False, default=str)


def _pairs(values: Mapping[str, Any], before: str = "") -> list[tuple[str, Cell]]:
    return [(before + str(name).replace("_", " "), _text(value)) for name, value in values.items()]


def method_parts(run: BenchRun) -> list[Part]:
    """Return how it was measured: words, references, when it stopped, device, settings, versions."""
    info = run.device
    about: list[tuple[str, Cell]] = [
        ("run", run.run_id),
        ("started (UTC)", run.started_at_utc),
        ("finished (UTC)", run.finished_at_utc or None),
        ("device", device_name(info)),
        ("model", info.model),
        *([("system on chip", info.soc)] if info.soc else []),
        ("system", info.os_build or None),
        ("runtime", f"{info.runtime} {info.runtime_version}".strip()),
        ("delegate", info.delegate),
        ("threads", info.threads),
        ("CPU mask", info.cpu_mask or "not pinned"),
        ("device key", info.device_key[:16]),
        *([("runner", info.runner_sha256[:16])] if info.runner_sha256 else []),
    ]
    stopping: list[tuple[str, Cell]] = _pairs(run.stopping) + _timing_pairs(run.timing)
    return [
        Paragraph(method_text(run) if run.session else "Nothing was measured: there is no session."),
        *_reference_table(run.session),
        *_titled("When it stopped, and what it cost", stopping),
        *_titled("Device and run", about),
        *_titled("What was asked for", _pairs(run.request)),
        *_titled("Settings of the protocol", _pairs(run.session.get("protocol") or {})),
        *_titled("Versions", _pairs(run.versions)),
    ]


def _timing_pairs(timing: Mapping[str, float]) -> list[tuple[str, Cell]]:
    names = {"wall_s": "session, wall time (s)", "runs_s": "of it timed and discarded runs (s)"}
    pairs: list[tuple[str, Cell]] = [(names[key], timing[key]) for key in names if key in timing]
    if "overhead_fraction" in timing:
        pairs.append(("overhead", f"{timing['overhead_fraction']:.1%} of the wall time"))
    return pairs


def _titled(title: str, pairs: list[tuple[str, Cell]]) -> list[Part]:
    return [Paragraph(f"{title}:"), KeyValues(pairs)] if pairs else []
