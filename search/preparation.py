"""What stands before the first candidate: the same data as ever, a table of this device, a goal within reach."""

from __future__ import annotations

from latency.additivity import stored_additivity
from latency.coverage import covered_space
from latency.drift import REFUSED, Drift, measure_drift
from latency.on_device import MeasuringDevice, lut_settings, public_device
from latency.plan import LutPlan
from latency.table import LatencyTable, load_table
from mnas.errors import ConfigError, DataError, LutError
from search.context import StudyContext
from search.events import device_key
from search.foreign import ForeignTable
from search.goal import Goal, goal_of
from search.outlook import Outlook
from search.study_device import open_study_device

_NEVER_GOES_ON = ("CFG05", "CFG10", "CFG11", "CFG13", "LUT01", "LUT02", "LUT03")
"""A target out of reach, a device that is none, or a table that is not there or not of this device and space."""
_POOR_MAPE = 0.10


def require_same_data(context: StudyContext) -> None:
    """Record the data set's fingerprint when the study begins, and refuse to go on with other data."""
    seen = {"name": context.dataset.name, "fingerprint": context.dataset.fingerprint}
    context.log.append("data", seen)
    if (known := context.log.payload("data")) != seen:
        raise DataError(
            "DAT05",
            "the data set has changed since the study began",
            value=f"{known}, now {seen}",
            why="accuracies on different data do not compare",
            fix="restore the data, or start a new study without --resume",
        )


def tell_left_out(context: StudyContext) -> None:
    """Record for every reader of the results that some of the data's files could not be read."""
    if left_out := context.dataset.left_out:
        context.log.append("notice", {"text": f"{left_out}; mnas data check lists them"}, "left out")
        context.reporter.warn(left_out)


def prepare(context: StudyContext) -> tuple[Outlook, Goal]:
    """Return outlook and goal; a study that can never go on is marked, so that no ``--resume`` picks it up.

    Raises:
        ConfigError: ``CFG05``: the target is out of reach.
        DeviceError: The device cannot be used.
        LutError: The table cannot be built, is not of this device or space, or the device has drifted far.
    """
    try:
        tables = [_latency_table(context, number) for number in range(1, len(context.config.devices) + 1)]
        outlook = Outlook.of(context.space, tables, context.config)
        return outlook, _goal(context, outlook)
    except (ConfigError, LutError) as error:
        if error.code in _NEVER_GOES_ON and context.log.payload("goal") is None:
            context.store.execute("UPDATE study SET status = 'refused' WHERE study_id = ?", (context.study_id,))
        raise


def _latency_table(context: StudyContext, number: int) -> LatencyTable:
    """Return the table of a device: the one the study began with, the one asked for, or one that is built now."""
    config, key, spec = context.config, device_key(number), context.config.devices[number - 1]
    known, asked = context.log.payload("lut", key), config.tables[number - 1]
    if known is not None and context.log.payload("measured", key) is not None:
        return _completed(context, load_table(context.store, known["lut_id"]))
    with open_study_device(spec, context.store, context.executor) as device:
        is_old = known is not None or bool(asked)
        if is_old:
            table = load_table(context.store, known["lut_id"] if known else asked)
            table.require_fit(device.info, config.dtype, allow_foreign=config.allow_foreign_lut)
            foreign = ForeignTable.of(table, device)
            if foreign is None and table.device.os_build != device.info.os_build:
                context.reporter.warn(
                    f"table {table.lut_id} was measured under {table.device.os_build}, this is {device.info.os_build}"
                )
        else:
            foreign = None
            settings = lut_settings(
                config.lut_mode, config.lut_rounds, config.lut_calibration, config.lut_validation, spec
            )
            plan = LutPlan(context.space, settings, config.dtype)
            is_old = device.has_table(plan)
            context.reporter.line(f"latency table of {len(plan.segments)} segments on {device.info.device_id}")
            table = device.build_table(plan, context.reporter.progress)
        if is_old:
            _look_for_drift(context, device, table, is_begun=known is not None)
        is_simulated = table.device.is_simulated or device.info.is_simulated
        name = device.info.device_id if device.info.kind == "adb" else public_device(spec)
    stamp = foreign.to_json() if foreign else None
    recorded = {"lut_id": table.lut_id, "foreign": stamp, "is_simulated": is_simulated, "device": name}
    context.log.append("lut", recorded, key)
    if is_simulated:
        _say_simulated(context, table, name)
    _say_where_from(context, table, foreign)
    _say_how_good(context, table, spec)
    _say_whether_sums_hold(context, table)
    return _completed(context, table)


def _completed(context: StudyContext, table: LatencyTable) -> LatencyTable:
    """Fill in what the table lacks of the space where that was asked for, and tell every reader of the results."""
    if context.config.missing == "refuse":
        return table
    segments = list(context.space.segments())
    complete = table.completed(segments)
    if complete.filled_in:
        text = (
            f"latency table {table.lut_id} lacks {len(complete.filled_in)} of the {len(segments)} segments that "
            f"{context.space.name} reaches; they are predicted from the others, and so is what is made of them"
        )
        context.log.append("notice", {"text": text}, f"filled in{_of_others(context, table)}")
        context.reporter.warn(text)
    return complete


def _look_for_drift(context: StudyContext, device: MeasuringDevice, table: LatencyTable, *, is_begun: bool) -> None:
    """Tell of a device that does not take any more what its table says; finalists are measured in any case.

    A study that has not begun by the table is refused where it has drifted far, in two sessions with other networks.

    Raises:
        LutError: ``LUT10``: so it is, and foreign tables are not allowed.
    """
    if table.device_key != device.info.device_key:
        return
    seed, space = context.config.seed, covered_space(table)
    drift = measure_drift(context.store, device, table, space, seed=seed)
    if drift.is_beyond(REFUSED) and not is_begun and not context.config.allow_foreign_lut:
        again = measure_drift(context.store, device, table, space, seed=seed + 1)
        if again.is_beyond(REFUSED):
            raise _drifted(context, device, again)
    if drift.verdict == "drifted":
        text = f"latency table {drift.text()}: predictions are off; build it anew with mnas lut build --anew"
        context.log.append("notice", {"text": text}, f"drift{_of_others(context, table)}")
        context.reporter.warn(text)
    else:
        context.reporter.line(f"latency table {drift.text()}")


def _drifted(context: StudyContext, device: MeasuringDevice, drift: Drift) -> LutError:
    at_least = drift.at_least or 0.0
    return LutError(
        "LUT10",
        f"the device has drifted far since latency table {drift.lut_id} was built",
        value=f"by {at_least:.0%} at least, {REFUSED:.0%} allowed; {drift.text()}",
        why="a search would choose by latencies that the device does not have any more",
        fix=f"build it anew: mnas lut build --anew --space {_named(context)} --device {device.info.device_id}; or "
        f"predict by it all the same, as by another device's: --lut {drift.lut_id} --allow-foreign-lut",
    )


def _say_simulated(context: StudyContext, table: LatencyTable, name: str) -> None:
    """Record for every reader of the results that their latencies are of no real device."""
    text = (
        f"SIMULATED: no real device is behind {name}, or behind latency table {table.lut_id}; "
        "every latency, and so the choice of networks, is of this machine's making"
    )
    context.log.append("notice", {"text": text}, f"simulated{_of_others(context, table)}")
    context.reporter.warn(text)


def _say_where_from(context: StudyContext, table: LatencyTable, foreign: ForeignTable | None) -> None:
    """Record for every reader of the results that the table was not built here, or is of another device."""
    if table.origin is not None:
        text = f"latency table {table.lut_id}: {table.origin.text()}"
        context.log.append("notice", {"text": text}, f"lut origin{_of_others(context, table)}")
    if foreign is not None:
        context.log.append("notice", {"text": foreign.text()}, "foreign lut")
        context.reporter.warn(foreign.text())


def _of_others(context: StudyContext, table: LatencyTable) -> str:
    """Return what tells the notices of one of several tables apart."""
    return f" {table.lut_id}" if context.config.other_devices else ""


def _say_how_good(context: StudyContext, table: LatencyTable, spec: str) -> None:
    if table.validation is None:
        text = f"latency table {table.lut_id} is UNVALIDATED: its predictions may be far off"
        context.log.append("notice", {"text": text}, f"unvalidated{_of_others(context, table)}")
        context.reporter.warn(text)
        return
    errors = table.validation.table
    text = (
        f"latency table {table.lut_id}: MAPE {errors.mape:.1%}, Kendall tau {errors.kendall_tau:.2f} "
        f"{table.validation.judged_on(table.calibration.networks)}"
    )
    if errors.mape <= _POOR_MAPE:
        context.reporter.line(text)
    else:
        context.reporter.warn(
            f"{text}; begun {table.created_at_utc}. That is poor: build another on a quieter machine with mnas lut "
            f"build --anew --space {_named(context)} --device {spec}, and name it by --lut"
        )


def _say_whether_sums_hold(context: StudyContext, table: LatencyTable) -> None:
    """Record for every reader of the results that the table's device takes other times than sums of its blocks."""
    found = stored_additivity(context.store, table)
    if found is not None and found.verdict == "not additive":
        text = f"latency table {table.lut_id}: {found.sentence()}"
        context.log.append("notice", {"text": text}, f"not additive{_of_others(context, table)}")
        context.reporter.warn(text)


def _named(context: StudyContext) -> str:
    """Return the words that name the study's space on the command line."""
    preset = context.config.preset
    return f"{context.config.space} --preset {preset}" if preset else context.config.space


def _goal(context: StudyContext, outlook: Outlook) -> Goal:
    known = context.log.payload("goal")
    if known is not None:
        return Goal.from_json(known)
    config = context.config
    goal = goal_of(outlook, config.target_ms, config.seed, context.dataset.classes, config.confidence)
    context.log.append("goal", goal.to_json())
    return goal
