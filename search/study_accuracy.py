"""The accuracy estimator of a study: the same one from the first network to the last, on every resume."""

from __future__ import annotations

from mnas.errors import StudyError
from search.accuracy.estimator import AccuracyEstimator, mark_of
from search.accuracy.registry import open_accuracy
from search.accuracy.setting import accuracy_setting
from search.context import StudyContext

ACCURACY = "accuracy"
"""Kind of the event that holds its name and fidelity."""


def study_estimator(context: StudyContext) -> AccuracyEstimator:
    """Return the estimator of a study, opened anew.

    Raises:
        ConfigError: It cannot be opened; see `search.accuracy.registry.open_accuracy`.
        StudyError: ``STU10``: the study was begun with another one of that name.
        SupernetError: ``SUP01``, ``SUP05``, ``SUP06``: its supernet is gone, or of other data or another space.
    """
    estimator = open_accuracy(context.config.accuracy, accuracy_setting(context))
    if context.log.payload(ACCURACY) is not None:
        keep_estimator(context, estimator)
    return estimator


def keep_estimator(context: StudyContext, estimator: AccuracyEstimator) -> None:
    """Record which estimator a study uses when its first networks are estimated, and refuse another one from then on.

    Raises:
        StudyError: ``STU10``: its fidelity is another one now, e.g. by a supernet that was trained on, or by an edited
            script of the accuracy command.
    """
    seen = {"name": estimator.name, "fidelity": estimator.fidelity}
    if context.log.payload(ACCURACY) is None:
        context.log.append(ACCURACY, seen)
        if mark := mark_of(estimator):
            context.log.append("notice", {"text": mark}, ACCURACY)
            context.reporter.warn(mark)
    if (known := context.log.payload(ACCURACY)) != seen:
        raise StudyError(
            "STU10",
            "the accuracy estimator has changed since the study began",
            value=f"{known}, now {seen}",
            why="errors of two estimators do not compare, so going on would mix two searches",
            fix="put the former supernet, script or package back, or start a new study without --resume",
        )
