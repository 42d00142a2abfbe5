"""``mnas arch sample``: what it prints and writes, and what it refuses."""

import json
import shutil

import pytest

from latency.key import segment_key
from latency.origin import Origin
from latency.table import load_table
from mnas.architecture import Architecture
from mnas.cli import main
from mnas.cli.arch_sample import count_of
from mnas.counts import total_macs, total_params
from mnas.layers import layers_of
from mnas.segments import segments_of
from mnas.spaces.presets import open_space
from mnas.store import FILE_NAME, Store


@pytest.fixture
def run(capsys):
    """Run the command; return its exit status, stdout and stderr."""

    def run(*arguments):
        status = main(["arch", "sample", "--preset", "digits", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out
        return status, captured.out, captured.err

    return run


def members(text):
    document = json.loads(text)
    assert document["schema_version"] == 1
    return document["members"]


def test_networks_are_within_their_ranges_and_are_what_is_said_of_them(run):
    arguments = ("--space", "mnasnet", "-n", 6, "--max-macs", "0.3M", "--min-params", "9k", "--format", "json")
    status, text, _ = run(*arguments)
    assert status == 0
    space = open_space("mnasnet", "digits")
    for one in members(text):
        network = space.decode(tuple(one["genome"]))
        layers = layers_of(network)
        assert (one["arch_id"], one["macs"], one["params"]) == (
            network.arch_id, total_macs(layers), total_params(layers)
        )  # fmt: skip
        assert one["px"] == network.input_shape_chw[1] and one["blocks"] == len(network.blocks)
        assert one["macs"] <= 0.3e6 and one["params"] >= 9e3
    assert len({one["arch_id"] for one in members(text)}) == 6
    assert run(*arguments)[1] == text
    assert run(*arguments, "--seed", 1)[1] != text


def test_every_format_holds_the_same_networks(run):
    ids = [one["arch_id"] for one in members(run("-n", 3, "--format", "json")[1])]
    assert [json.loads(line)["arch_id"] for line in run("-n", 3, "--format", "jsonl")[1].splitlines()] == ids
    assert [line.split(",")[0] for line in run("-n", 3, "--format", "csv")[1].splitlines()] == ["arch_id", *ids]
    table = run("-n", 3)[1]
    assert all(one[:12] in table and one not in table for one in ids)


def test_networks_are_saved_and_can_be_shown(run, capsys, tmp_path):
    status, text, err = run("-n", 4, "--save", tmp_path / "found", "--format", "json")
    assert status == 0 and "wrote 4 files" in err
    for one in members(text):
        file = tmp_path / "found" / one["arch_id"][:12] / "architecture.json"
        assert Architecture.from_json(json.loads(file.read_text())).arch_id == one["arch_id"]
        assert main(["arch", "show", str(file)]) == 0
        assert one["arch_id"][:12] in capsys.readouterr().out
    (tmp_path / "taken").write_text("a file")
    status, text, err = run("-n", 1, "--save", tmp_path / "taken")
    assert (status, text) == (2, "") and "CFG07" in err


def test_latency_is_a_tables(run, digits_out):
    with Store(digits_out / FILE_NAME, (), must_exist=True) as store:
        table = load_table(store, "lut1")
    space = open_space("mobilenetv3", "digits")
    every = members(run("-n", 40, "--lut", "lut1", "--out", digits_out, "--format", "json")[1])
    for one in every:
        (estimate,) = table.estimate([space.decode(tuple(one["genome"]))])
        assert one["latency_ms"] == pytest.approx(estimate.ms)
    limit = sorted(one["latency_ms"] for one in every)[20]
    found = ("-n", 10, "--lut", "lut1", "--out", digits_out, "--max-latency-ms", limit, "--format", "json")
    assert max(one["latency_ms"] for one in members(run(*found)[1])) <= limit


FORMATS = ("table", "md", "json", "csv", "jsonl")


def test_a_tables_marks_and_its_device_go_with_the_latencies_in_every_format(run, digits_out, tmp_path):
    out = shutil.copytree(digits_out, tmp_path / "out")
    for name in FORMATS:
        text = run("-n", 2, "--lut", "lut1", "--out", out, "--format", name)[1]
        assert "UNVALIDATED" not in text and "SIMULATED" not in text
    with Store(out / FILE_NAME, (), must_exist=True) as store:
        origin = Origin("imported", "2026-01-01T00:00:00+00:00", "json", "phone.json").to_json()
        store.execute("UPDATE lut SET validation_json = NULL, origin_json = ?", (json.dumps(origin),))
        store.execute("UPDATE lut SET device_json = json_set(device_json, '$.is_simulated', json('true'))")
        table = load_table(store, "lut1")
    for name in FORMATS:
        text = run("-n", 2, "--lut", "lut1", "--out", out, "--format", name)[1]
        assert all(mark in text for mark in ("SIMULATED", "UNVALIDATED", "IMPORTED from phone.json (json)")), name
    assert "they speak of that device alone" in run("-n", 2, "--lut", "lut1", "--out", out)[1]
    about = json.loads(run("-n", 2, "--lut", "lut1", "--out", out, "--format", "json")[1])["lut"]
    assert (about["device_key"], about["marks"]) == (table.device_key, table.marks())


def test_what_a_table_lacks_is_counted_and_labelled_with_each_latency(run, digits_out, tmp_path):
    out = shutil.copytree(digits_out, tmp_path / "out")
    space = open_space("mobilenetv3", "digits")
    with Store(out / FILE_NAME, (), must_exist=True) as store:
        whole = load_table(store, "lut1")
        lost = [segment for segment in whole.entries if segment.role == "block"][::40]
        for segment in lost:
            store.execute("DELETE FROM lut_entry WHERE key = ?", (segment_key(segment),))
    given = ("-n", 40, "--lut", "lut1", "--out", out, "--missing", "interpolate")
    document = json.loads(run(*given, "--format", "json")[1])
    assert document["lut"]["filled_in"] == len(lost)
    for one in document["members"]:
        count = sum(segment in lost for segment in segments_of(space.decode(tuple(one["genome"]))))
        assert (one["interpolated"], one["latency_source"]) == (count, "predicted" if count else "lut")
    assert {one["latency_source"] for one in document["members"]} == {"predicted", "lut"}
    assert f"the table lacks {len(lost)} of the 204 segments" in run(*given)[1]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--max-macs", "12"), 2, r"SPC21: too few networks of mobilenetv3/digits"),
        (("--max-macs", "1M", "--min-macs", "2M"), 2, "SPC20: no MACs lies in this range"),
        (("--max-macs", "many"), 2, "is no number"),
        (("-n", "0"), 2, "equal to 1"),
        (("-n", "40000"), 2, "each of 31,104 looked at"),
        (("--space", "mobilenetv4"), 2, "SPC01"),
        (("--resolution", "9"), 2, "SPC01"),
        (("--max-latency-ms", "3"), 2, "a latency is asked for without a table"),
        (("--missing", "guess"), 2, "known are refuse, interpolate"),
    ],
)
def test_what_cannot_be_done_is_refused(run, arguments, status, said):
    found, text, err = run(*arguments)
    assert (found, text) == (status, "")
    assert said in err


def test_a_table_that_is_not_there_or_not_of_the_space_is_refused(run, digits_out, tmp_path):
    assert run("--lut", "lut1", "--out", tmp_path)[0] == 6
    status, _, err = run("--lut", "lut9", "--out", digits_out)
    assert status == 6 and "LUT01" in err
    status, _, err = run("--space", "mnasnet", "--lut", "lut1", "--out", digits_out)
    assert status == 6 and "LUT02" in err


def test_what_was_found_by_mutation_is_marked(run):
    rare = ("--space", "mnasnet", "--max-macs", "22k", "--tries", "3000", "-n", "3")
    status, text, _ = run(*rare)
    assert status == 0 and "not a uniform sample" in text
    document = json.loads(run(*rare, "--format", "json")[1])
    assert document["is_uniform"] is False
    status, _, err = run(*rare, "--uniform")
    assert status == 2 and "SPC21" in err


@pytest.mark.parametrize(("text", "count"), [("300M", 3e8), ("1.5G", 1.5e9), ("250k", 2.5e5), ("3e6", 3e6), ("17", 17)])
def test_numbers_are_read_as_people_write_them(text, count):
    assert count_of(text) == count
