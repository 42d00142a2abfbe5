"""What audits say of the ranking of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mnas.config import StudyConfig
from mnas.store import Store
from search.accuracy.audit_log import Audited, latest_verdict
from search.accuracy.audit_notes import notes_for_search
from search.accuracy.proxy_schedule import schedule_of
from search.accuracy.shipped_audits import shipped_verdict
from search.candidate import Candidate
from search.events import EventLog
from search.study_space import space_sha256


@dataclass(frozen=True, slots=True)
class StudyAudit:
    """An audit as far as it is of a study.

    Attributes:
        verdict: The newest of the same space, data and long training, else one that comes with the tool; None without.
        notes: It in sentences, of the study's own estimator; that there was none where there was none.
    """

    verdict: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return its fields."""
        return {"verdict": self.verdict, "notes": list(self.notes)}


NO_STUDY_AUDIT = StudyAudit()


def audit_of(store: Store, log: EventLog, config: StudyConfig, candidates: Sequence[Candidate]) -> StudyAudit:
    """Return what audits say of a study.

    Args:
        store: Open.
        log: The study's events.
        config: The study's.
        candidates: The study's so far.
    """
    fingerprint = (log.payload("data") or {}).get("fingerprint", "")
    truth = schedule_of(config, "final", 0).fidelity
    asked = Audited(config.space, config.preset, space_sha256(log, config), fingerprint, truth)
    verdict = latest_verdict(store, asked) or shipped_verdict(asked)
    sources = {candidate.accuracy_source for candidate in candidates}
    return StudyAudit(verdict, tuple(notes_for_search(verdict, config.accuracy, sources)))
