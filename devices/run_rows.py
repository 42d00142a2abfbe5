"""A model of a run as one flat record: numbers as they are, for programs."""

from __future__ import annotations

from devices.run import BenchedModel, BenchRun


def model_record(run: BenchRun, model: BenchedModel) -> dict[str, object]:
    """Return what is known of a model of a run; units are in the names, what is not known is ``None``."""
    found, raw, relative = model.measurement, model.raw, model.relative
    low, high = found.interval_ms if found and found.interval_ms else (None, None)
    return {
        "run_id": run.run_id,
        "model": model.label,
        "role": model.role,
        "sha256": model.sha256,
        "latency_ms": model.latency_ms,
        "low_ms": low,
        "high_ms": high,
        "verdict": found.verdict if found else None,
        "reasons": "; ".join(found.reasons) if found else None,
        "relative_to": relative.to if relative else None,
        "relative": relative.ratio if relative else None,
        "relative_low": relative.low if relative else None,
        "relative_high": relative.high if relative else None,
        "runs": raw.count if raw else 0,
        **{f"raw_{name}_ms": getattr(raw, f"{name}_ms", None) for name in ("min", "p50", "p90", "p95", "p99", "max")},
        "macs": model.description.macs if model.description else None,
        "size_bytes": model.size_bytes,
        "peak_memory_bytes": model.peak_memory_bytes,
        "load_ms": model.load_ms,
        "problem": model.problem.message if model.problem else None,
        "notes": "; ".join(model.notes),
        "device": run.device.device_id,
        "device_key": run.device.device_key,
        "is_simulated": run.device.is_simulated,
    }
