"""The references' runs of a session, kept round by round, so that a page can show what they corrected."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping

from devices.protocol import VisitRecord


def reference_rounds_ms(records: Iterable[VisitRecord], references: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return the median of each reference's timed runs in each round.

    Args:
        records: Of one session.
        references: Name of each reference network -> sha256 of its file.

    Returns:
        Name -> round, as text, since the document is JSON -> raw milliseconds. Rounds without a run are left out.
    """
    names = {sha256: name for name, sha256 in references.items()}
    found: dict[str, dict[int, list[float]]] = {name: {} for name in references}
    for record in records:
        if record.is_reference and record.sha256 in names:
            samples = [value for value in record.samples_ms if math.isfinite(value) and value > 0]
            found[names[record.sha256]].setdefault(record.round, []).extend(samples)
    return {
        name: {str(number): statistics.median(values) for number, values in sorted(rounds.items()) if values}
        for name, rounds in found.items()
    }
