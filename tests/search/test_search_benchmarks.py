"""benchmarks/search_quality.py and large_space.py: they judge rightly, go on where they stopped, run on any table."""

from __future__ import annotations

import importlib
import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from mnas.spaces.presets import open_space
from search.algorithms.registry import algorithm_names
from search.pareto import front_indices, hypervolume
from search.table_objective import parse_objectives
from search.tabular import TabularProblem

_BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
_NAMES = ("search_quality", "large_space", "_walks", "_quality_figures", "_accuracy_function", "_space_latency")
GOLDEN = [0.3325531987108491, 0.20780519633100727]
_HELPERS = ("_peers", "_result", "_algorithm_settings")


@pytest.fixture(scope="module")
def scripts():
    """The benchmarks' modules by name."""
    before = list(sys.path)
    sys.path.insert(0, str(_BENCHMARKS))
    try:
        return {name: importlib.import_module(name) for name in _NAMES}
    finally:
        sys.path[:] = before
        for name in (*_NAMES, *_HELPERS):
            sys.modules.pop(name, None)


@pytest.fixture
def table(tmp_path):
    """Three genes of other cardinalities, one combination missing."""
    path = tmp_path / "made_up.csv"
    rows = ["a,b,c,speed,size"]
    for a, b, c in list(product(range(4), range(3), range(5)))[:-1]:
        rows.append(f"{a},{b},{c},{7 * a + 5 * b + c * (a % 2) - a * b},{1 + 3 * a + 2 * b + (c * 7) % 5}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def problem(table):
    return TabularProblem.read(table, parse_objectives("speed:max,size:min"), ("a", "b", "c"))


def run(monkeypatch, script, *words):
    monkeypatch.setattr(sys, "argv", [f"{script.__name__}.py", *map(str, words)])
    return script.main()


def test_a_walk_is_scored_as_by_hand(scripts, problem):
    walks = scripts["_walks"]
    everything = [problem.unrank(number) for number in range(problem.size())]
    values = problem.minimised(everything)
    true = {tuple(values[i]) for i in front_indices(values)}
    judge = walks.Judge(problem)
    scores = judge.scores(walks.Walk(everything, 0.0), [1, 20, len(everything), 500])
    assert set(scores) == {"1", "20", str(len(everything))}
    assert scores[str(len(everything))] == {"share": pytest.approx(1.0), "front": 1.0}
    found = {tuple(row) for row in values[:20]}
    assert scores["20"]["front"] == len(true & found) / len(true)
    worst = tuple(values.max(axis=0))
    assert scores["20"]["share"] == pytest.approx(hypervolume(values[:20], worst) / hypervolume(values, worst))


@pytest.mark.parametrize("seed", [0, 1])
def test_walks_are_distinct_and_depend_on_the_seed_alone(scripts, problem, seed):
    walks = scripts["_walks"]
    makers = [
        lambda seed: walks.pymoo_walk(problem, 8, seed, 30),
        *(
            lambda seed, name=name: walks.registered_walk(name, problem, {"population": 6}, seed, 30)
            for name in ("nsga2", "nsga3", "evolution", "local", "random")
        ),
    ]
    for make in makers:
        walk, again, other = (list(make(one).genomes) for one in (seed, seed, seed + 7))
        assert walk == again != other
        assert len(walk) == len(set(walk)) == 30
        assert all(problem.canonical(genome) == genome for genome in walk)


def test_code_is_that_of_an_algorithm_and_of_what_it_imports(scripts):
    code_of = scripts["_walks"].code_of
    names = ("nsga2", "nsga3", "evolution", "local", "random")
    assert set(names) <= set(algorithm_names())
    assert len({code_of(name) for name in names}) == len(names)
    assert code_of("random") == code_of("random")


def test_pairs_are_judged_by_signed_ranks(scripts):
    chance = scripts["_quality_figures"].chance
    steps = np.linspace(0.1, 1, 10)
    assert chance(steps, np.zeros(10)) == pytest.approx(2**-10)
    assert chance(np.zeros(10), steps) == pytest.approx(1.0)
    assert chance(steps, steps) == 1.0
    assert chance(np.full(10, np.nan), steps) == 1.0


def test_search_quality_runs_on_a_table_of_another_kind_and_goes_on(scripts, table, tmp_path, monkeypatch, capsys):
    words = ["--table", table, "--objectives", "speed:max,size:min", "--genes", "a,b,c", "--checkpoints", "10,30,60"]
    words += ["--algorithms", "nsga2,random", "--no-peers", "--parts", tmp_path / "parts.jsonl"]
    script = scripts["search_quality"]
    monkeypatch.setattr(script, "PYMOO_POPULATIONS", (12,))
    assert run(monkeypatch, script, *words, "--seeds", 4, "--minutes", 0) == 5
    first = tmp_path / "first.json"
    run(monkeypatch, script, *words, "--seeds", 2, "--json", first)
    rows = (tmp_path / "parts.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 2 * 3
    with (tmp_path / "parts.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"key": {"cut o')
        file.write("\n")
    second = tmp_path / "second.json"
    run(monkeypatch, script, *words, "--seeds", 2, "--json", second)
    assert len((tmp_path / "parts.jsonl").read_text(encoding="utf-8").splitlines()) == len(rows) + 1
    figures = [json.loads(path.read_text(encoding="utf-8"))["figures"] for path in (first, second)]
    assert figures[0] == figures[1]
    mean = np.mean([json.loads(row)["scores"]["30"]["share"] for row in rows if '"name": "nsga2"' in row])
    assert figures[0]["nsga2_share_30"] == pytest.approx(mean)
    assert figures[0]["networks"] == 59 and figures[0]["nsga2_share_60"] is None
    capsys.readouterr()


def test_the_accuracy_function_is_fixed_and_moves_with_every_gene(scripts):
    """The numbers are those that were written down; another value is another function."""
    space = open_space("mobilenetv3", "digits")
    function = scripts["_accuracy_function"].AccuracyFunction(space)
    ends = list(space.extremes())
    assert function.error(ends) == pytest.approx(GOLDEN, rel=1e-6)
    rng = np.random.default_rng(0)
    draws = [space.draw(rng) for _ in range(300)]
    errors, measured = function.error(draws), function.measured(draws)
    assert (errors > 0.20).all() and len(np.unique(errors)) == len(set(draws))
    assert np.array_equal(measured, function.measured(draws[::-1])[::-1])
    assert np.std(measured - errors) == pytest.approx(0.0015, rel=0.2)
    for gene, count in enumerate(space.cardinalities):
        ways = {space.canonical((*ends[1][:gene], choice, *ends[1][gene + 1 :])) for choice in range(count)}
        assert len({round(float(function.error([way])[0]), 12) for way in ways}) == len(ways)


def test_simulated_latency_adds_up_and_large_space_judges_by_true_values(scripts, tmp_path, monkeypatch, capsys):
    words = ["--preset", "digits", "--resolution", 8, "--algorithms", "nsga2,random", "--checkpoints", "20,60"]
    words += ["--seeds", 2, "--parts", tmp_path / "parts.jsonl", "--json", tmp_path / "found.json"]
    assert run(monkeypatch, scripts["large_space"], *words) in (0, 1)
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    figures = found["figures"]
    assert figures["latency_source"] == "simulated from MACs"
    for name in ("nsga2", "random"):
        few, many = figures[f"{name}_hypervolume_20"], figures[f"{name}_hypervolume_60"]
        low, high = figures[f"{name}_interval_60"]
        assert 0 < few < 1 and 0 < many < 1 and low <= many <= high
    assert found["targets"] == {"nsga2_hypervolume_60": {"op": ">", "value": figures["random_hypervolume_60"]}}
    capsys.readouterr()
