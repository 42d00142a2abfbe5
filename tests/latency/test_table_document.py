"""Our JSON and CSV: what goes out comes back, and nothing else comes in."""

import copy
import csv
import io
import json
from dataclasses import replace

import pytest
from fuzzing import fuzzed
from hypothesis import given
from hypothesis import strategies as st

from latency.builder import LutBuilder
from latency.exchange import export_table, foreign_device, import_table
from latency.saving import networks_of
from latency.table import LutEntry, load_table
from latency.table_csv import COLUMNS, read_csv, table_csv
from latency.table_document import read_document, table_document
from latency.testing import made_up_table
from mnas.errors import LutError
from mnas.jsonio import canonical_json
from mnas.spaces.presets import open_space

SPACE = open_space("mobilenetv3", "digits", (8,))
DOCUMENT = canonical_json(table_document(made_up_table(SPACE), []))


def changed(**changes):
    return json.dumps({**json.loads(DOCUMENT), **changes}).encode()


def changed_entry(**changes):
    document = json.loads(DOCUMENT)
    document["entries"][1].update(changes)
    return json.dumps(document).encode()


def test_a_built_table_comes_back_from_json_as_it_was(store, plan, additive_device, tmp_path):
    built = LutBuilder(store, additive_device(noise=0.05), plan, lambda *_: None).build()
    (file,) = export_table(store, built, "json")
    (tmp_path / "table.json").write_text(file.text)
    imported = import_table(store, tmp_path / "table.json")
    assert imported.lut_id != built.lut_id and imported.origin.sources[0].lut_id == built.lut_id
    for name in ("entries", "calibration", "validation", "device", "device_key", "settings", "space", "created_at_utc"):
        assert getattr(imported, name) == getattr(built, name)
    assert networks_of(store, imported.lut_id) == networks_of(store, built.lut_id) != []
    networks = [plan.space.decode(genome) for genome in plan.networks]
    assert imported.estimate(networks) == built.estimate(networks)
    # Once more: all that changes is where it came from.
    again, first = (json.loads(export_table(store, one, "json")[0].text) for one in (imported, built))
    assert {name for name in first if again[name] != first[name]} == {"lut_id", "origin"}
    assert imported.marks() == ["SIMULATED", "IMPORTED from table.json (json)"]


def test_a_build_never_takes_an_imported_table_for_its_own(store, plan, additive_device, tmp_path):
    built = LutBuilder(store, additive_device(), plan, lambda *_: None).build()
    (tmp_path / "table.json").write_text(export_table(store, built, "json")[0].text)
    store.execute("DELETE FROM lut_network")
    store.execute("DELETE FROM lut_entry")
    store.execute("DELETE FROM lut_visit")
    store.execute("DELETE FROM lut_sitting")
    store.execute("DELETE FROM lut")
    imported = import_table(store, tmp_path / "table.json")
    rebuilt = LutBuilder(store, additive_device(), plan, lambda *_: None).build()
    assert rebuilt.lut_id != imported.lut_id and rebuilt.origin is None
    assert rebuilt.device_key == imported.device_key


latencies = st.floats(1e-6, 1e6)


@given(st.lists(st.tuples(latencies, st.floats(0, 10), st.integers(0, 10**9)), min_size=1, max_size=5))
def test_any_entries_survive_json_and_csv(values):
    table = made_up_table(SPACE)
    segments = list(table.entries)
    table.entries = {
        segment: LutEntry(ms, ms - half, ms + half, samples, "noisy")
        for segment, (ms, half, samples) in zip(segments, values, strict=False)
    }
    read = read_document(json.dumps(table_document(table, [])).encode())
    assert (read.table.entries, read.networks) == (table.entries, [])
    assert (read.table.calibration, read.table.uncertainty) == (table.calibration, table.uncertainty)
    assert read_csv(table_csv(table).encode()) == table.entries


def test_csv_has_columns_to_read_by(store, tmp_path):
    text = table_csv(made_up_table(SPACE))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert tuple(rows[0]) == COLUMNS and len(rows) == len(made_up_table(SPACE).entries)
    (tmp_path / "table.csv").write_text(text)
    table = import_table(store, tmp_path / "table.csv", "", foreign_device("a board", "tflite", 2))
    assert (table.space, table.device.runtime, table.device.threads) == ("a CSV file at 8 px", "tflite", 2)
    assert table.entries == made_up_table(SPACE).entries and table.validation is None
    with pytest.raises(LutError, match=r"LUT30.*which device"):
        import_table(store, tmp_path / "table.csv")
    with pytest.raises(LutError, match=r"LUT30.*no name"):
        foreign_device("a\nb")


FIRST = json.loads(DOCUMENT)["entries"][0]
OTHER_DEVICE = {**json.loads(DOCUMENT)["device"], "threads": 7}
CALIBRATION = json.loads(DOCUMENT)["calibration"]
NETWORK = {"arch_id": "a", "purpose": "calibration", "genome_json": "[]", "macs": 1, "block_params": 1}
NETWORK |= {"sum_ms": 1.0, "measured_ms": 1.0, "low_ms": 1.0, "high_ms": 1.0}
VALUE = {"latency_ms": 1.0, "low_ms": 0.9, "high_ms": 1.1, "samples": 3, "verdict": "ok"}
SEGMENT = FIRST["segment"]
REFUSED = {
    "another schema": (changed(schema="mnas.lut/2"), "LUT33", "schema"),
    "no schema": (b"{}", "LUT33", "schema"),
    "a field that nobody knows": (changed(bits=8), "LUT33", "bits"),
    "a device of other fields": (changed(device={}), "LUT33", "device"),
    "another device_key": (changed(device=OTHER_DEVICE), "LUT33", "device_key"),
    "another dtype": (changed(dtype="float16"), "LUT33", "dtype"),
    "another batch": (changed(batch=4), "LUT33", "batch 4"),
    "an escape code in a name": (changed(space="\x1b[2J"), "LUT33", "control characters"),
    "an escape code of the device": (
        changed(device={**OTHER_DEVICE, "model": "\x1b[2J"}),
        "LUT33",
        "control characters",
    ),
    "an escape code for a verdict": (changed_entry(value={**VALUE, "verdict": "\x1b[2J"}), "LUT32", "verdict"),
    "no entries": (changed(entries=[]), "LUT33", "entries"),
    "an entry twice": (changed(entries=[FIRST, FIRST]), "LUT33", "there twice"),
    "a network twice": (changed(networks=[NETWORK, NETWORK]), "LUT33", "there twice"),
    "a network for nothing": (changed(networks=[{**NETWORK, "purpose": "x"}]), "LUT33", "purpose"),
    "an endless count": (changed(networks=[{**NETWORK, "macs": 2**70}]), "LUT33", "63 bits"),
    "a name twice": (b'{"schema": 1, "schema": 2}', "LUT33", "there twice"),
    "NaN": (changed_entry(value={**VALUE, "latency_ms": float("nan")}), "LUT33", "not finite"),
    "a number beyond all": (DOCUMENT.replace('"batch":1', '"batch":1e999').encode(), "LUT30", "not JSON"),
    "a text for a number": (changed_entry(value={**VALUE, "latency_ms": "1"}), "LUT33", "latency_ms"),
    "a negative latency": (
        changed_entry(value={**VALUE, "latency_ms": -1.0, "low_ms": -1.1, "high_ms": -0.9}),
        "LUT32",
        "-1",
    ),
    "an interval elsewhere": (changed_entry(value={**VALUE, "low_ms": 1.05}), "LUT32", "interval"),
    "samples below zero": (changed_entry(value={**VALUE, "samples": -1}), "LUT32", "samples"),
    "another segment's key": (changed_entry(segment=SEGMENT), "LUT33", "not its segment's"),
    "a role that is none": (changed_entry(segment={**SEGMENT, "role": "neck"}), "LUT33", "role"),
    "a shape that is none": (changed_entry(segment={**SEGMENT, "in_shape_chw": [1, 0, 8]}), "LUT33", "in_shape_chw"),
    "a block that is none": (changed_entry(segment={**SEGMENT, "blocks": [{}]}), "LUT32", "entries[1]"),
    "a scale of zero": (changed(calibration={**CALIBRATION, "scale": 0.0}), "LUT33", "scale"),
    "draws of one entry alone": (changed_entry(draws="AAAAAA=="), "LUT33", "draws"),
    "draws of no number": (changed(calibration_draws="AAAA"), "LUT33", "draws"),
    "draws in no base64": (changed(calibration_draws="?"), "LUT33", "draws"),
    "no draws at all": (changed(calibration_draws=""), "LUT33", "draws"),
    "half a file": (DOCUMENT[: len(DOCUMENT) // 2].encode(), "LUT30", "not JSON"),
    "a deep nest": (b"[" * 100_000, "LUT30", "not JSON"),
    "no UTF-8": (b"\xff{}", "LUT30", "UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_json_that_is_no_table_is_refused_with_the_reason(name):
    data, code, what = REFUSED[name]
    with pytest.raises(LutError, match=code) as caught:
        read_document(data)
    assert what in str(caught.value)


def test_a_tiny_entry_may_lie_below_zero_by_noise():
    document = json.loads(DOCUMENT)
    document["entries"][0]["value"] = {**VALUE, "latency_ms": -0.001, "low_ms": -0.003, "high_ms": 0.001}
    table = read_document(json.dumps(document).encode()).table
    assert min(entry.latency_ms for entry in table.entries.values()) == -0.001


def paths(value, prefix=()):
    yield prefix
    if isinstance(value, dict | list):
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(part, (*prefix, name))


SMALL = {**json.loads(DOCUMENT), "entries": json.loads(DOCUMENT)["entries"][:1], "networks": [NETWORK]}
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
junk = st.recursive(
    leaves, lambda one: st.lists(one, max_size=2) | st.dictionaries(st.text(max_size=3), one, max_size=2)
)


@fuzzed
@given(st.sampled_from(sorted(paths(SMALL), key=str)), junk, st.booleans())
def test_any_damage_gives_a_table_or_one_of_our_errors(path, value, is_removed):
    document = copy.deepcopy(SMALL)
    place = document
    for name in path[:-1]:
        place = place[name]
    if not path:
        document = value
    elif is_removed:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    try:
        read = read_document(json.dumps(document).encode())
    except LutError as error:
        assert error.code in ("LUT30", "LUT32", "LUT33")
    else:
        assert len(read.table.entries) == 1


@fuzzed
@given(st.text(st.sampled_from('{}[]",:\\ \n0123456789.-eEtrunfalsNI\ud800\x00'), max_size=40))
def test_any_text_is_refused_as_json_by_our_error_alone(text):
    with pytest.raises(LutError):
        read_document(text.encode("utf-8", "surrogatepass"))


HEAD, ROW = table_csv(made_up_table(SPACE)).splitlines()[:2]
cells = st.sampled_from(["", "1", "-1", "nan", "inf", "x", '"', "{}", "[[", '"{""role"":1}"', "\x00", "\r"])


@fuzzed
@given(st.lists(st.tuples(st.integers(0, len(COLUMNS) - 1), cells), min_size=1, max_size=4))
def test_any_damaged_row_gives_entries_or_one_of_our_errors(changes):
    (row,) = csv.reader([ROW])
    buffer = io.StringIO()
    csv.writer(buffer).writerow(row)
    texts = list(row)
    for column, text in changes:
        texts[column] = text
    line = ",".join('"' + text.replace('"', '""') + '"' if "{" in text else text for text in texts)
    try:
        entries = read_csv(f"{HEAD}\n{line}\n".encode())
    except LutError as error:
        assert error.code in ("LUT30", "LUT32")
    else:
        assert len(entries) == 1


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", HEAD, f"{HEAD}\n{ROW}\n{ROW}\n", f"{HEAD}\n1,2\n"])
def test_csv_that_is_no_table_is_refused(text):
    with pytest.raises(LutError, match=r"LUT3[02]"):
        read_csv(text.encode())


def test_the_id_of_an_imported_table_is_of_its_contents(store, tmp_path):
    for name, data in (("a", DOCUMENT), ("b", changed(space="other").decode())):
        (tmp_path / name).write_text(data)
    first, other = (import_table(store, tmp_path / name) for name in "ab")
    assert first.lut_id[:4] == "lut1" and other.lut_id[:4] == "lut2" and first.lut_id[5:] != other.lut_id[5:]
    assert load_table(store, "lut2").space == "other"
    assert replace(first.origin, sources=()).layouts == {"json"}
