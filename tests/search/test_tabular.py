"""Exact tables: both forms of file give one problem, whatever is wrong has a place, moves stay in the table."""

import csv
import json
from itertools import product

import numpy as np
import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st

from mnas.errors import ConfigError, DataError, MnasError, SpaceError
from search.pareto import front_indices, hypervolume
from search.table_file import TableRow, read_table
from search.table_objective import TableObjective, parse_objectives
from search.tabular import TabularProblem

OBJECTIVES = parse_objectives("top1:max,latency_ms:min")


@st.composite
def tables(draw):
    """Rows of a table, some combinations missing."""
    cardinalities = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4).filter(lambda c: np.prod(c) >= 2))
    everything = list(product(*(range(count) for count in cardinalities)))
    kept = draw(st.lists(st.sampled_from(everything), min_size=2, max_size=30, unique=True))
    number = st.floats(0, 100, allow_subnormal=False).map(lambda value: round(value, 3))
    return [TableRow(str(genome), genome, (draw(number), draw(number))) for genome in kept]


def problem_of(rows):
    return TabularProblem("table", [f"g{i}" for i in range(len(rows[0].labels))], OBJECTIVES, rows)


def write_json(path, rows):
    nested = {"".join(map(str, row.labels)): {"top1": row.values[0], "latency_ms": row.values[1]} for row in rows}
    path.write_text(json.dumps(nested), encoding="utf-8")
    return path


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["top1", *(f"g{i}" for i in range(len(rows[0].labels))), "latency_ms", "left out"])
        writer.writerows([row.values[0], *row.labels, row.values[1], "x"] for row in rows)
    return path


@given(rows=tables())
def test_both_forms_of_file_and_any_order_of_rows_give_one_problem(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    columns = [f"g{i}" for i in range(len(rows[0].labels))]
    problems = [
        problem_of(rows),
        problem_of(rows[::-1]),
        TabularProblem.read(write_json(folder / "t.json", rows), OBJECTIVES),
        TabularProblem.read(write_csv(folder / "t.csv", rows), OBJECTIVES, columns if len(columns) > 1 else ["g0"]),
    ]
    genomes = [problems[0].unrank(number) for number in range(len(rows))]
    assert len(set(genomes)) == len(rows) == problems[0].size()
    for other in problems[1:]:
        assert other.cardinalities == problems[0].cardinalities
        assert [other.unrank(number) for number in range(other.size())] == genomes
        assert np.array_equal(other.values(genomes), problems[0].values(genomes))


@given(tables(), st.integers(0, 1000))
def test_every_move_ends_at_a_network_of_the_table(rows, seed):
    problem, rng = problem_of(rows), np.random.default_rng(seed)
    networks = {problem.unrank(number) for number in range(problem.size())}
    first, second = problem.draw(rng), problem.sample(rng)
    moves = [first, second, problem.mutate(first, rng, 0.7), problem.crossover(first, second, rng)]
    any_genome = tuple(int(gene) for gene in rng.integers(0, problem.cardinalities))
    nearest = problem.canonical(any_genome)
    assert {*moves, nearest} <= networks
    assert problem.canonical(nearest) == nearest

    def steps(genome):
        return sum(abs(a - b) for a, b in zip(genome, any_genome, strict=True))

    assert steps(nearest) == min(map(steps, networks))


@given(tables())
def test_its_front_and_its_reference_point_are_those_of_all_its_networks(rows):
    problem = problem_of(rows)
    everything = problem.minimised([problem.unrank(number) for number in range(problem.size())])
    assert {tuple(point) for point in problem.true_front()} == {tuple(everything[i]) for i in front_indices(everything)}
    assert problem.reference_point() == tuple(everything.max(axis=0))
    assert np.array_equal(problem.cheap([problem.unrank(0)]), everything[:1, -1])


@pytest.mark.parametrize(
    ("direction", "values", "expected"),
    [
        ("min", [3.0, -1.0], [3.0, -1.0]),
        ("max", [0.25, 1.0], [0.75, 0.0]),
        ("max", [25.0, 100.0], [0.75, 0.0]),
        ("max", [250.0, 1.0], [-250.0, -1.0]),
        ("max", [-1.0, 50.0], [1.0, -50.0]),
    ],
)
def test_what_is_maximised_becomes_something_to_minimise(direction, values, expected):
    assert TableObjective("x", direction).minimised(np.asarray(values)).tolist() == expected


@pytest.mark.parametrize("text", ["", "top1:max", "top1,latency:min", "top1:best,ms:min", ":max,ms:min", "a:min,a:max"])
def test_what_is_no_objective_is_refused(text):
    with pytest.raises(ConfigError, match="CFG18") as caught:
        parse_objectives(text)
    assert caught.value.exit_code == 2


def test_words_numbers_lists_and_nested_keys(tmp_path):
    """Numbers count in their order and stand before words; names of objectives may go down through dots."""
    path = tmp_path / "t.json"
    entries = [
        {"genome": "conv_3x3|10|0.5", "valid": {"top1": 0.5}, "latency_ms": 3},
        {"genome": ["skip", 9, "0.5"], "valid": {"top1": 0.4}, "latency_ms": 2},
        {"genome": "conv_3x3 none 0.5", "valid": {"top1": 0.6}, "latency_ms": 1},
    ]
    path.write_text(json.dumps(entries), encoding="utf-8")
    problem = TabularProblem.read(path, parse_objectives("valid.top1:max,latency_ms:min"))
    assert problem.choices == (("conv_3x3", "skip"), (9, 10, "none"), (0.5,))
    assert problem.cardinalities == (2, 3, 1)
    assert problem.values([(1, 0, 0)]).tolist() == [[0.4, 2.0]]
    assert problem.minimised([(0, 2, 0)]).tolist() == [[0.4, 1.0]]


GOOD = '{"00": {"top1": 1, "latency_ms": 2}, "01": {"top1": 2, "latency_ms": 3}, '
BAD = [
    ("t.txt", "x", "TAB01", r"neither \.csv nor \.json"),
    ("t.json", "{", "TAB01", "t.json"),
    ("t.json", "[" * 100_000, "TAB01", "t.json"),
    ("t.json", "3", "TAB02", "neither a list nor an object"),
    ("t.json", "{}", "TAB02", "no network"),
    ("t.json", GOOD[:-2] + ', "10": 7}', "TAB02", "key '10'.*int"),
    ("t.json", GOOD + '"10": {"top1": 1}}', "TAB02", "key '10'.*latency_ms"),
    ("t.json", GOOD + '"1": {"top1": 1, "latency_ms": 2}}', "TAB03", "key '1'.*1 genes.*'00' has 2"),
    ("t.json", GOOD + '"": {"top1": 1, "latency_ms": 2}}', "TAB03", "key ''.*empty"),
    ("t.json", GOOD + '"10": {"top1": NaN, "latency_ms": 2}}', "TAB04", "key '10', top1.*nan"),
    ("t.json", GOOD + '"10": {"top1": 1, "latency_ms": 1e999}}', "TAB04", "key '10', latency_ms.*inf"),
    ("t.json", GOOD + '"10": {"top1": 1' + "0" * 400 + ', "latency_ms": 1}}', "TAB04", "key '10', top1"),
    ("t.json", GOOD + '"10": {"top1": "1", "latency_ms": 2}}', "TAB04", "key '10', top1"),
    ("t.json", GOOD + '"10": {"top1": true, "latency_ms": 2}}', "TAB04", "key '10', top1"),
    ("t.json", GOOD + '"01": {"top1": 1, "latency_ms": 2}}', "TAB05", "key '01'.*twice"),
    ("t.json", GOOD + '"0 1": {"top1": 1, "latency_ms": 2}}', "TAB05", "key '01' and key '0 1'"),
    ("t.json", '{"00": {"top1": 1, "latency_ms": 2}}', "TAB02", "one network alone"),
    ("t.json", '[{"genome": 3, "top1": 1, "latency_ms": 2}]', "TAB03", "entry 0.*3"),
    ("t.json", '[{"genome": [[1], 2], "top1": 1, "latency_ms": 2}]', "TAB03", "entry 0"),
    ("t.json", '[{"top1": 1, "latency_ms": 2}]', "TAB02", "entry 0.*genome"),
    ("t.csv", "", "TAB02", "no network"),
    ("t.csv", "genome,top1,latency_ms\n", "TAB02", "no network"),
    ("t.csv", "genome,top1,top1\n01,1,2\n", "TAB02", "line 1.*top1"),
    ("t.csv", "genome,top1,latency_ms\n01,1,2\n\n10,1\n", "TAB02", "line 4.*2 cells"),
    ("t.csv", "genome,top1,latency_ms\n01,1,2\n10,,2\n", "TAB04", "line 3, top1"),
    ("t.csv", "genome,top1,latency_ms\n01,1,2\n10,fast,2\n", "TAB04", "line 3, top1.*fast"),
    ("t.csv", "genome,top1,latency_ms\n01,1,2\n01,1,2\n", "TAB05", "line 2 and line 3"),
    ("t.csv", 'genome,top1,latency_ms\n"01,1,2\n', "TAB01", "t.csv"),
    ("t.csv", "arch,top1,latency_ms\n01,1,2\n", "TAB02", "line 2.*genome"),
]


@pytest.mark.parametrize(("name", "text", "code", "said"), BAD)
def test_what_is_wrong_is_said_with_its_place(name, text, code, said, tmp_path):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=f"(?s){code}.*{said}") as caught:
        TabularProblem.read(path, OBJECTIVES)
    assert caught.value.exit_code == 6


def test_absent_files_and_other_encodings_are_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"genome,top1\xff")
    for name in ("t.csv", "absent.json"):
        with pytest.raises(DataError, match=f"TAB01.*{name}"):
            TabularProblem.read(tmp_path / name, OBJECTIVES)


@fuzzed
@given(text=st.text(max_size=200), ending=st.sampled_from([".csv", ".json"]))
def test_no_text_breaks_the_reader(text, ending, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"text{ending}"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MnasError):
        read_table(path, ["top1"])


def test_genomes_outside_the_table_are_refused():
    problem = problem_of([TableRow(str(row), row, (1.0, 2.0)) for row in ((0, 0), (1, 1))])
    for genome in ((0,), (0, 2), (-1, 0)):
        with pytest.raises(SpaceError, match="SPC02"):
            problem.canonical(genome)
    for refuse in (lambda: problem.values([(0, 1)]), lambda: problem.unrank(2), lambda: problem.unrank(-1)):
        with pytest.raises(SpaceError, match="SPC02"):
            refuse()


def test_an_exact_table_as_it_is_published(test_data):
    """Source: the front, its volume and the reference point of NAS-Bench-Macro (CIFAR-10), worked out elsewhere."""
    path = test_data / "nas-bench-macro_cifar10.json"
    problem = TabularProblem.read(path, parse_objectives("mean_acc:max,flops:min"))
    assert problem.cardinalities == (3,) * 8 and problem.size() == 6561
    assert np.multiply(problem.reference_point(), (100, 1e-6)) == pytest.approx((54.63667, 105.660928))
    front = problem.true_front()
    assert len(front) == 35
    assert hypervolume(front, problem.reference_point()) * 100 / 1e6 == pytest.approx(4223.4569, rel=1e-6)
