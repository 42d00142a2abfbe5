"""benchmarks/accuracy_audit.py: what it works out, and that it goes on where it stopped."""

from __future__ import annotations

import functools
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.accuracy import audit_statistics
from search.supernet.schedule import SupernetSchedule

_BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
_NAMES = (
    "_audit_rows",
    "_audit_figures",
    "_audit_truth",
    "_audit_estimates",
    "_audit_supernet",
    "_audit_predictor",
    "accuracy_audit",
)


@pytest.fixture(scope="module")
def scripts():
    """The benchmark's modules by name."""
    before = list(sys.path)
    sys.path.insert(0, str(_BENCHMARKS))
    try:
        found = {name: importlib.import_module(name) for name in _NAMES}
        with pytest.MonkeyPatch.context() as patch:
            fewer = functools.partial(audit_statistics.bootstrap, draws=40)  # 2,000 draws take seconds
            patch.setattr(audit_statistics, "bootstrap", lambda *words, draws, seed: fewer(*words, seed=seed))
            yield found
    finally:
        sys.path[:] = before
        for name in (*_NAMES, "_result"):
            sys.modules.pop(name, None)


@given(st.integers(0, 2**32))
@settings(deadline=None, max_examples=20)
def test_a_score_beats_a_rival_when_it_ranks_better(scripts, seed):
    rng = np.random.default_rng(seed)
    truth = rng.permutation(20).astype(float)
    found = scripts["_audit_figures"].agreement(
        truth, truth, {"noise": rng.permutation(20).astype(float), "same": truth}, seed
    )
    assert found["tau"] == found["spearman"] == pytest.approx(1)
    assert found["beyond_noise"] == pytest.approx(1 - found["noise_tau"])
    low, high = found["beyond_noise_interval"]
    assert 0 <= low <= found["beyond_noise"] <= high + 0.2
    assert found["beyond_same"] == 0 and found["beyond_same_interval"] == [0, 0]


def test_noise_and_spread_of_known_values_are_told_in_points(scripts):
    rng = np.random.default_rng(0)
    level = rng.normal(0, 0.02, (400, 1))
    values = 0.8 + level + rng.normal(0, 0.005, (400, 2))
    found = scripts["_audit_figures"].truth_figures(values, 1 - values, np.ones_like(values), 0)
    assert found["truth_noise_points"] == pytest.approx(0.5, rel=0.15)
    assert found["truth_spread_points"] == pytest.approx(100 * (0.02**2 + 0.005**2 / 2) ** 0.5, rel=0.15)
    assert found["truth_tellable_gap_points"] == pytest.approx(1.96 * found["truth_noise_points"], rel=1e-3)
    assert found["truth_seed_to_seed_tau"] == pytest.approx(found["truth_loss_seed_to_seed_tau"])


def test_rows_survive_a_line_that_was_cut_off(scripts, tmp_path):
    rows = scripts["_audit_rows"].Rows(tmp_path / "rows.jsonl")
    assert rows.of("a", "k") == []
    first = rows.add("a", "k", value=1)
    with (tmp_path / "rows.jsonl").open("a") as file:
        file.write('{"part": "a", "key": "k", "val\n')
    second = rows.add("a", "k", value=2)
    rows.add("a", "other", value=3)
    assert rows.of("a", "k") == [first, second]


def test_a_deadline_says_what_is_left(scripts):
    module = scripts["_audit_rows"]
    module.Deadline(1).check("nothing")
    with pytest.raises(module.OutOfTimeError, match="7 trainings"):
        module.Deadline(0).check("7 trainings")


@pytest.mark.slow
def test_the_whole_audit_in_parts_on_digits(scripts, tmp_path, monkeypatch, capsys):
    truth, supernet, predictor = scripts["_audit_truth"], scripts["_audit_supernet"], scripts["_audit_predictor"]
    main = scripts["accuracy_audit"]
    rows = scripts["_audit_rows"].Rows(tmp_path / "rows.jsonl")
    monkeypatch.setattr(truth, "PRESET", "digits")
    monkeypatch.setattr(truth, "_SCHEDULE", {"train_images": 200, "epochs": 1, "batch_size": 32, "lr": 0.1})
    for module in (truth, supernet):
        monkeypatch.setattr(module, "DATA", "digits")
    monkeypatch.setattr(supernet, "schedule", lambda: SupernetSchedule(1, batch_size=64, train_images=640))
    monkeypatch.setattr(supernet, "EXTRACTED", 3)
    for module in (main, predictor):
        monkeypatch.setattr(module, "LEARNED_FROM", 12)
        monkeypatch.setattr(module, "JUDGED_ON", 6)
    monkeypatch.setattr(main, "Rows", lambda: rows)
    monkeypatch.setattr(main, "ZERO_COST", ("naswot",))
    report = tmp_path / "figures.json"
    words = ["accuracy_audit.py", "--nets", "6", "--work", str(tmp_path / "work"), "--json", str(report)]
    monkeypatch.setattr(sys, "argv", [*words, "--minutes", "0.0001"])
    assert main.main() == 5 and "12 trainings" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*words, "--minutes", "10"])
    assert main.main() in (0, 1)
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    figures = json.loads(report.read_text())["figures"]
    assert figures["truth_networks"] == 6 and figures["extraction_bit_equal"] == 3
    for name in ("supernet", "naswot"):
        assert -1 <= figures[f"{name}_tau"] <= 1 and len(figures[f"{name}_bands"]) == 3
    assert main.main() in (0, 1)
    assert (tmp_path / "rows.jsonl").read_text().splitlines() == lines
    assert json.loads(report.read_text())["figures"] == figures
