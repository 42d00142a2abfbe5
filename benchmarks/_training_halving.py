"""What halving and curve stopping would have chosen and saved, worked out from trainings that all went to their end."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from _audit_rows import Deadline, Rows
from _audit_truth import DATA, STUDY_SEED, Truth, drawn, size_of, truth_key, truth_schedule

from search.accuracy.curve_stopping import StopRule
from search.accuracy.halving import promoted, rungs_of
from search.accuracy.jobs import TrainingJob, training_outcome
from search.accuracy.proxy import ProxyTraining
from search.accuracy.registry import HALVING_ETA, HALVING_RUNGS
from search.data.registry import open_dataset
from search.executors.executor import Outcome
from search.executors.processes import ProcessExecutor

PART = "rung"
TOP = 5
ORDERS = 100
GENERATION = 8
Floats = npt.NDArray[np.float64]


def _rungs() -> tuple[ProxyTraining, ...]:
    proxy = ProxyTraining(DATA, None, truth_schedule(), STUDY_SEED)
    return rungs_of(proxy, HALVING_ETA, HALVING_RUNGS, open_dataset(DATA).size("train"))


def shares() -> list[float]:
    """Return what each rung trains on, in full trainings."""
    seen = [one.schedule.train_images * one.schedule.epochs for one in _rungs()]
    return [one / seen[-1] for one in seen]


def train_rungs(rows: Rows, count: int, deadline: Deadline) -> None:
    """Train every network on the rungs below the last, which is the ground truth's first seed.

    Raises:
        OutOfTimeError: The minutes are over.
    """
    done = {(row["arch_id"], row["rung"]) for row in rows.of(PART, truth_key())}
    networks = sorted(drawn("truth", count), key=lambda one: -size_of(one)["macs"])
    wanted: list[tuple[int, TrainingJob, str]] = []
    for number, rung in enumerate(_rungs()[:-1]):
        for one in networks:
            if (one.arch_id, number) not in done:
                wanted.append((number, rung.training_jobs(one)[0], one.arch_id))
    if not wanted:
        return
    deadline.check(f"{len(wanted)} trainings of rungs")

    def keep(index: int, outcome: Outcome) -> None:
        number, job, arch_id = wanted[index]
        found = training_outcome(job, outcome)
        if not found.is_ok:
            raise SystemExit(found.error_message)
        figures = {"loss": found.losses["rank-val"], "cost_s": found.cost_s}
        rows.add(PART, truth_key(), arch_id=arch_id, rung=number, **figures)
        deadline.check(f"{len(wanted) - index - 1} trainings of rungs or fewer")

    with ProcessExecutor(2) as executor:
        executor.map_in_order([job.as_job() for _, job, _ in wanted], keep)


def rung_losses(rows: Rows, truth: Truth) -> Floats:
    """Return the losses on every rung, ``(networks, rungs)``; the last is the ground truth's first seed."""
    found = {(row["arch_id"], row["rung"]): row["loss"] for row in rows.of(PART, truth_key())}
    below = [[found[one.arch_id, number] for number in range(HALVING_RUNGS - 1)] for one in truth.networks]
    return np.concatenate([np.asarray(below, dtype=float), truth.loss[:, :1]], axis=1)


def _best(losses: Floats, among: list[int], count: int = TOP) -> list[int]:
    return sorted(among, key=lambda i: (losses[i], i))[:count]


def halving_figures(losses: Floats, parts: list[float], truth_losses: Floats, accuracy: Floats) -> dict[str, Any]:
    """Return what halving's best networks are worth beside those of full training, and what it saves.

    Args:
        losses: On each rung, ``(networks, rungs)``.
        parts: What each rung costs, in full trainings.
        truth_losses: Of full training, ``(networks, seeds)``.
        accuracy: Likewise; the mean over the seeds is what a network is worth.
    """
    alive, cost = list(range(len(losses))), 0.0
    for number, part in enumerate(parts):
        cost += part * len(alive)
        if number < len(parts) - 1:
            rows = [{"estimate": {"loss": losses[i, number]}, "predicted_ms": 1.0} for i in alive]
            alive = [alive[i] for i in promoted(rows, [], max(1, len(alive) // HALVING_ETA))]
    worth = accuracy.mean(axis=1)
    halved, full, other = (
        _best(column, among)
        for column, among in (
            (losses[:, -1], alive),
            (truth_losses[:, 0], list(range(len(losses)))),
            (truth_losses[:, 1], list(range(len(losses)))),
        )
    )
    noise = float(np.sqrt(accuracy.var(axis=1, ddof=1).mean()))
    error = noise * float(np.sqrt(2 / (TOP * accuracy.shape[1])))
    gain = float(worth[halved].mean() - worth[full].mean())
    return {
        "halving_top5_accuracy": float(worth[halved].mean()),
        "full_top5_accuracy": float(worth[full].mean()),
        "halving_standard_error": error,
        "halving_behind_standard_errors": max(0.0, -gain / error) if error else 0.0,
        "halving_epochs_share": cost / len(losses),
        "halving_overlap": len(set(halved) & set(full)),
        "two_full_runs_overlap": len(set(full) & set(other)),
    }


def curve_figures(curves: Floats, accuracy: Floats, risk: float, seed: int = 0) -> dict[str, Any]:
    """Return how often curve stopping would have stopped one of the truly best networks, and what it saves.

    In each of `ORDERS` random orders the networks come in generations. A run is stopped when it will not end among the
    best `TOP` of those that went to their end before; the first generation is never stopped.

    Args:
        curves: Errors along each training, its end included, ``(networks, points)``.
        accuracy: ``(networks, seeds)``; the mean over the seeds says which are the best.
        risk: Of the rule.
        seed: Of the orders.
    """
    rng, points = np.random.default_rng(seed), curves.shape[1]
    best = set(np.argsort(-accuracy.mean(axis=1), kind="stable")[:TOP].tolist())
    wrong, used, stops, wrong_orders, stated = 0, 0, 0, 0, []
    for _ in range(ORDERS):
        order, completed, missed = rng.permutation(len(curves)), [], 0
        for start in range(0, len(order), GENERATION):
            ends = sorted(curve[-1] for curve in completed)
            rule = StopRule(ends[TOP - 1] if len(ends) >= TOP else 1.0, tuple(map(tuple, completed)), risk)
            news = []
            for i in order[start : start + GENERATION]:
                at, p_wrong = _stopped_at(curves[i], rule)
                used += at
                if at == points:
                    news.append(curves[i].tolist())
                    continue
                stops += 1
                stated.append(p_wrong)
                missed += int(i) in best
            completed += news
        wrong, wrong_orders = wrong + missed, wrong_orders + (missed > 0)
    return {
        "curves_top5_wrongly_stopped": wrong,
        "curves_orders_with_a_wrong_stop": wrong_orders,
        "curves_epochs_saved": 1 - used / (ORDERS * len(curves) * points),
        "curves_stops_an_order": stops / ORDERS,
        "curves_mean_stated_p_wrong": float(np.mean(stated)) if stated else None,
    }


def _stopped_at(curve: Floats, rule: StopRule) -> tuple[int, float]:
    """Return after how many points a run is stopped, all of them where it is not, and the probability stated."""
    for seen in range(1, len(curve)):
        verdict = rule.verdict(curve[:seen].tolist())
        if verdict is not None:
            return seen, verdict.probability_below(rule.bound)
    return len(curve), 0.0


def recorded_curves(rows: Rows, truth: Truth) -> Floats:
    """Return the curves of the ground truth's first seed, ``(networks, points)``."""
    found = {row["arch_id"]: row["curve"] for row in rows.of("truth", truth_key()) if row["repeat"] == 0}
    return np.asarray([found[one.arch_id] for one in truth.networks], dtype=float)


def with_risks(curves: Floats, accuracy: Floats, risks: tuple[float, ...]) -> dict[str, Any]:
    """Return the figures of other risks, to choose one by."""
    return {f"curves_at_risk_{risk:g}": curve_figures(curves, accuracy, risk) for risk in risks}
