"""Comparisons: means, intervals and p-values equal scipy's, names tell methods apart, unlike studies are refused."""

import csv
import json
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, wilcoxon

from latency.testing import made_up_table
from mnas.cli import main
from mnas.errors import StudyError
from search.comparison import compare, holm, summarise
from search.goal import set_goal
from search.pareto import hypervolume
from search.ranking import Ranking
from search.study_curves import StudyCurve, read_curves


def curve(seed, volumes, evaluations=(10, 20, 30), **method):
    return StudyCurve(
        study_id=f"study{seed}-{abs(hash(str(method))) % 10**6}",
        seed=seed,
        method={"algorithm": "nsga2", **method},
        subject="{}",
        evaluations=tuple(evaluations),
        volumes=tuple(volumes),
        reference_point=(1.0, 1.0),
        whole=1.0,
        is_finished=True,
    )


def test_a_curve_holds_its_last_generation_until_the_next():
    one = curve(0, (0.1, 0.2, 0.3))
    assert [one.at(count) for count in (0, 9, 10, 19, 20, 30, 99)] == [0, 0, 0.1, 0.1, 0.2, 0.3, 0.3]


@given(gains=st.lists(st.floats(-0.2, 0.2).map(lambda x: round(x, 4)), min_size=3, max_size=12))
def test_methods_with_the_same_seeds_are_compared_by_pairs(gains):
    base = np.linspace(0.4, 0.6, len(gains))
    curves = [curve(seed, (0.1, 0.2, value)) for seed, value in enumerate(base)]
    curves += [
        curve(seed, (0.1, 0.2, value + gain), algorithm="random")
        for seed, (value, gain) in enumerate(zip(base, gains, strict=True))
    ]
    found = compare(curves)
    (pair,) = found.differences
    finals = {one.name: one.volumes(30) for one in found.methods}
    gaps = finals[pair.first] - finals[pair.second]
    assert pair.test.startswith("Wilcoxon") and pair.difference == pytest.approx(abs(gaps.mean()))
    assert pair.p == (pytest.approx(wilcoxon(gaps).pvalue) if gaps.any() else 1.0)
    assert pair.p_holm == pytest.approx(pair.p)


def test_other_seeds_are_compared_unpaired_and_single_ones_not_at_all():
    first = [curve(seed, (0.1, 0.2, 0.5 + seed / 100)) for seed in range(5)]
    second = [curve(seed, (0.1, 0.2, 0.4 + seed / 100), algorithm="random") for seed in range(3, 9)]
    (pair,) = compare(first + second).differences
    expected = mannwhitneyu([one.at(30) for one in first], [one.at(30) for one in second]).pvalue
    assert (pair.test, pair.p) == ("Mann-Whitney", pytest.approx(expected))
    (pair,) = compare(first[:1] + second).differences
    assert (pair.test, pair.p, pair.p_holm) == ("", None, None)


@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_monotone_and_between_one_and_all_times_the_value(values):
    found = holm(values)
    for place, value in enumerate(values):
        assert value <= found[place] <= min(1.0, len(values) * value)
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.asarray(found)[order]) >= 0).all()


def test_holm_as_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


@given(values=st.lists(st.floats(0, 10), min_size=2, max_size=30))
def test_an_interval_is_centred_on_the_mean_and_one_seed_has_none(values):
    found = summarise(np.asarray(values))
    assert found.low <= found.mean <= found.high
    assert found.high - found.mean == pytest.approx(found.mean - found.low)
    assert summarise(np.asarray(values[:1])).low is None


def test_an_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = [s.low <= 3 <= s.high for s in (summarise(rng.normal(3, 1, 6)) for _ in range(2000))]
    assert 0.935 < np.mean(inside) < 0.965


def test_methods_are_named_by_what_tells_them_apart_and_judged_where_all_have_come_to():
    curves = [curve(0, (0.1, 0.2, 0.3), population=10), curve(0, (0.1, 0.4), (10, 20), population=20)]
    curves.append(curve(0, (0.1, 0.25), (10, 20), algorithm="random", population=20))
    found = compare(curves)
    assert [one.name for one in found.methods] == ["nsga2 population=20", "random", "nsga2 population=10"]
    assert (found.evaluations, found.checkpoints[0], found.checkpoints[-1]) == (20, 10, 20)
    assert compare(curves, 12).methods[0].volumes(12).tolist() == [0.1]


@pytest.fixture(scope="module")
def table():
    from mnas.spaces.presets import open_space

    return made_up_table(open_space("mobilenetv3", "digits"))


def test_searches_on_other_tables_are_measured_from_one_point(make_study, table, store):
    ids = []
    for factor in (1.0, 1.5):
        context = make_study(budget=12, population=4, seed=int(factor))
        goal = set_goal(context.space, table, None, context.config.seed, 10)
        point = (goal.reference_point[0], goal.reference_point[1] * factor)
        goal = type(goal)(**{**goal.to_json(), "reference_point": point})
        context.log.append("goal", goal.to_json())
        Ranking(context, table, goal).run()
        ids.append((context, point))
    curves = read_curves(store, [context.study_id for context, _ in ids])
    worst = ids[1][1]
    assert [one.reference_point for one in curves] == [worst, worst]
    for one, (context, _) in zip(curves, ids, strict=True):
        payloads = sorted(context.log.payloads("evaluated").values(), key=lambda value: value["number"])
        rows = np.asarray([[value["error"], value["predicted_ms"]] for value in payloads])
        for count, volume in zip(one.evaluations, one.volumes, strict=True):
            assert volume == pytest.approx(hypervolume(rows[:count], worst))
    with pytest.raises(StudyError, match="STU01"):
        read_curves(store)  # none of them is finished


@pytest.mark.parametrize("other", [{"training": "normal"}, {"accuracy": "halving"}, {"proxy_epochs": 3}])
def test_studies_of_other_things_are_refused(make_study, table, store, other):
    for keys in ({}, other):
        context = make_study(budget=4, population=4, **keys)
        goal = set_goal(context.space, table, None, 0, 10)
        context.log.append("goal", goal.to_json())
        Ranking(context, table, goal).run()
    with pytest.raises(StudyError, match="STU08"):
        read_curves(store, ["study1", "study2"])
    with pytest.raises(StudyError, match="STU01"):
        read_curves(store, ["study3"])


def test_the_commands_run_compare_list_and_show(tmp_path, capsys):
    networks = tmp_path / "t.csv"
    with networks.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["genome", "top1", "latency_ms"])
        for genes in product(range(5), repeat=3):
            writer.writerow(["".join(map(str, genes)), 50 + 5 * sum(genes) - genes[0] * genes[1], 1 + sum(genes[1:])])
    given = ["--table", str(networks), "--objectives", "top1:max,latency_ms:min", "--seeds", "0-2,5", "--budget", "40"]
    out = ["--out", str(tmp_path / "out")]
    for name in ("nsga2", "random"):
        assert main(["study", "run", *given, "--algorithm", name, "--population", "10", "-q", *out]) == 0
    capsys.readouterr()
    assert main(["study", "compare", *out, "--format", "json"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert {one["name"] for one in document["methods"]} == {"nsga2", "random"}
    assert all(len(one["volumes"]) == 4 for one in document["methods"])
    assert 0 < document["differences"][0]["p"] <= 1 and document["evaluations"] == 40
    (page,) = (tmp_path / "out" / "reports").glob("compare-*.html")
    text = page.read_text(encoding="utf-8")
    assert str(page) in printed.err and "<svg" in text and "Wilcoxon" in text
    assert main(["study", "list", *out, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["status"] for row in rows] == ["finished"] * 8 and {row["kind"] for row in rows} == {"table"}
    assert main(["study", "show", rows[-1]["study_id"], *out, "--format", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["front"] and len(shown["evaluations"]) == 40
    assert main(["study", "run", "--resume", *out]) == 6
    assert main(["study", "run", *given[2:], *out]) == 2
    assert main(["study", "run", *given[:4], "--seeds", "9-1", *out]) == 2
