"""A profile by operators out of a launch on a phone."""

from __future__ import annotations

from devices.adb.intake import Launched
from devices.adb.launches import result_of
from devices.profiling.profile import OpProfile
from devices.runners.dialect import RunnerDialect
from mnas.errors import DeviceError, MeasurementError
from mnas.export.artifact import ModelArtifact


def profile_of(artifact: ModelArtifact, launched: Launched | None, error: str, dialect: RunnerDialect) -> OpProfile:
    """Return the profile that a launch with ``per_op`` gave.

    Args:
        artifact: The model.
        launched: The launch, or ``None`` when there was none.
        error: Why there was none.
        dialect: Of the runner.

    Raises:
        MeasurementError: ``MEA20``: there is no whole profile.
    """
    if launched is None or launched.ended is None:
        raise _refuse(artifact, error or (launched.error if launched else ""))
    ended = launched.ended
    is_ort = dialect.name == "ortperf"
    # Of ONNX Runtime's tool the profile was fetched and not the file of runs, without which there is no result.
    result = None if is_ort and ended.rc == 0 else result_of(launched, dialect)
    if result and result.error:
        raise _refuse(artifact, result.error)
    try:
        extra = {"litert": ended.stderr, "ortperf": ended.output}.get(dialect.name, "")
        ops = tuple(dialect.read_profile(ended.stdout, extra))
    except DeviceError as broken:
        raise _refuse(artifact, f"{broken.what}: {broken.why}") from broken
    covered_ms = sum(op.mean_ms for op in ops)
    total_ms = result.samples_ms[0] if result and result.samples_ms else covered_ms
    return OpProfile(
        runtime=dialect.name,
        version="",
        view=f"operators as {dialect.name} tells them",
        runs=launched.job.request.runs,
        total_ms=total_ms,
        ops=ops,
        coverage=covered_ms / total_ms if total_ms else 0.0,
        notes=(*(result.notes if result else ()), "profiled on the phone, in a launch of its own"),
    )


def _refuse(artifact: ModelArtifact, why: str) -> MeasurementError:
    fix = "check that the model runs on this device; measuring does not need a profile"
    return MeasurementError("MEA20", "the model cannot be profiled", value=str(artifact.path), why=why, fix=fix)
