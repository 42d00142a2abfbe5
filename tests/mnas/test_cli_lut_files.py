"""``mnas lut`` export, import, diff and merge: files in and out, formats, marks, refusals."""

import csv
import io
import json
import shutil

import pytest
import yaml
from latency_foreign import OFA_KEYS, V2_KEYS, table_text

from latency.on_device import COMPONENTS
from latency.schema import LATENCY
from mnas.cli import main
from mnas.store import FILE_NAME, Component, Store


@pytest.fixture
def out(tmp_path, digits_out):
    """A copy of the folder with the finished table, and in it a file of once-for-all's layout."""
    shutil.copytree(digits_out, tmp_path / "out")
    (tmp_path / "out" / "ofa.yaml").write_text(table_text(OFA_KEYS))
    return tmp_path / "out"


@pytest.fixture
def run(capsys, out):
    """Run a command on the folder; return its exit status, stdout and stderr."""

    def run(*arguments):
        status = main(["lut", *(str(argument) for argument in arguments), "--out", str(out)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err + captured.out
        return status, captured.out, captured.err

    return run


def luts(out):
    with Store(out / FILE_NAME, COMPONENTS) as store:
        return [dict(row) for row in store.query("SELECT * FROM lut ORDER BY rowid")]


IMPORT = ("import", "{out}/ofa.yaml", "--device-name", "Galaxy Note10")


def test_a_table_goes_out_and_comes_in_and_says_so(run, out):
    status, _, err = run("export", "lut1", "-o", out / "table.json")
    assert (status, err) == (0, f"wrote {out / 'table.json'}\n")
    status, text, err = run("import", out / "table.json", "--format", "json")
    document = json.loads(text)
    assert status == 0 and document["lut_id"].startswith("lut2-") and document["lut_id"] in err
    first, second = luts(out)
    assert first["origin_json"] is None
    for name in ("device_key", "calibration_json", "validation_json", "settings_json", "space", "created_at_utc"):
        assert first[name] == second[name]
    status, text, _ = run("show")
    assert "IMPORTED from table.json (json)" in text and "built here" in text
    status, text, _ = run("show", "lut2")
    assert "IMPORTED from table.json (json)" in text
    status, text, _ = run("diff", "lut1", "lut2", "--format", "json")
    found = json.loads(text)
    assert status == 0 and found["whole"]["ratio"] == 1.0 and found["whole"]["kendall_tau"] == pytest.approx(1)
    assert found["second"]["marks"] == ["IMPORTED from table.json (json)"]


def test_csv_goes_to_stdout_and_comes_in_with_a_device(run, out):
    status, text, _ = run("export", "lut1", "--to", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert status == 0 and len(rows) == 204
    (out / "table.csv").write_text(text)
    assert run("import", out / "table.csv", "--device-name", "a board", "--runtime", "tflite", "-q")[0] == 0
    assert run("import", out / "table.csv")[0] == 2


def test_a_table_of_others_goes_out_as_it_came_in(run, out):
    status, text, _ = run(*[part.format(out=out) for part in IMPORT])
    assert status == 0
    assert all(word in text for word in ("once-for-all at 224 px", "Galaxy Note10", "IMPORTED", "UNVALIDATED"))
    status, text, _ = run("export", "lut2", "--to", "ofa")
    before, after = (yaml.safe_load(one) for one in (table_text(OFA_KEYS), text))
    assert list(after) == sorted(before)
    for key, fields in before.items():
        assert after[key] == {"count": fields["count"], "mean": fields["mean"], "std": pytest.approx(fields["std"])}
    assert run("export", "lut2", "--to", "ofa", "--resolution", "224")[1] == text
    status, text, err = run("export", "lut2", "--to", "ofa", "--resolution", "192")
    assert (status, text) == (6, "") and "LUT34" in err and "it has 224" in err


def test_proxylessnas_goes_out_as_it_came_in(run, out):
    (out / "p.yaml").write_text(table_text(V2_KEYS, name="var"))
    assert run("import", out / "p.yaml", "--device-name", "Pixel 1")[0] == 0
    after = yaml.safe_load(run("export", "lut2", "--to", "proxylessnas")[1])
    assert after == {key: {"count": 4, "mean": 1.5, "var": pytest.approx(0.25)} for key in V2_KEYS}
    status, _, err = run("import", out / "p.yaml", "--device-name", "Pixel 1", "--layout", "ofa")
    assert status == 6 and "LUT32" in err and "layout ofa" in err


def test_what_a_layout_cannot_express_is_listed_and_refused_unless_partial(run, out):
    status, text, err = run("export", "lut1", "--to", "ofa", "--resolution", "16")
    assert (status, text) == (6, "") and "LUT34" in err and "cannot express" in err and "stem 1x16x16" in err
    status, text, err = run("export", "lut1", "--to", "ofa", "--resolution", "16", "--partial", "-o", out / "part.yaml")
    assert (status, text) == (0, "")
    keys = yaml.safe_load((out / "part.yaml").read_text())
    assert keys and all(key.startswith("expanded_conv-") for key in keys)
    left_out = [line for line in err.splitlines() if line.startswith("  ")]
    assert {line.split()[0] for line in left_out} == {"stem", "head"}
    assert f"warning: {len(left_out)} segments are left out" in err
    # Nothing of it fits the other layout, so not even a part goes out.
    status, _, err = run("export", "lut1", "--to", "proxylessnas", "--resolution", "16", "--partial")
    assert status == 6 and "LUT34" in err


def test_several_resolutions_take_one_file_each(run, out):
    status, text, err = run("export", "lut1", "--to", "ofa", "--partial")
    assert (status, text) == (2, "") and "8, 12, 16 px" in err
    assert run("export", "lut1", "--to", "ofa", "--partial", "-o", out / "lut.yaml", "-q")[0] == 0
    files = sorted(path.name for path in out.glob("*_lut.yaml"))
    assert files == ["12_lut.yaml", "16_lut.yaml", "8_lut.yaml"]
    sides = {
        px: {int(key.split("input:")[1].split("x")[0]) for key in yaml.safe_load((out / f"{px}_lut.yaml").read_text())}
        for px in (8, 12, 16)
    }
    assert {12, 6} <= sides[12] <= {12, 6, 3, 2}
    assert {8, 4} <= sides[8] <= {8, 4, 2} and sides[8] | {16} == sides[16]


def test_no_path_of_this_machine_leaves_it(run, out):
    run(*[part.format(out=out) for part in IMPORT])
    for lut in ("lut1", "lut2"):
        assert str(out) not in run("export", lut)[1]


def test_merging_tells_what_became_of_the_tables(run, out):
    (out / "other.yaml").write_text(table_text(OFA_KEYS, mean=1.75))
    run(*[part.format(out=out) for part in IMPORT])
    run("import", out / "other.yaml", "--device-name", "Galaxy Note10")
    status, text, err = run("merge", "lut2", "lut3", "--format", "json")
    document = json.loads(text)
    assert status == 0 and (document["entries"], document["shared"]) == (17, 17)
    assert "warning: 17 of 17 shared segments differ" not in err and "UNVALIDATED" in err
    assert document["origin"]["kind"] == "merged" and len(document["origin"]["sources"]) == 2
    status, _, err = run("merge", "lut1", "lut2")
    assert status == 6 and "LUT35" in err and "kind: " in err and "'imported'" in err


DIFF_FORMATS = ("table", "json", "jsonl", "csv", "md")


def test_diff_speaks_every_format(run, out):
    run("export", "lut1", "-o", out / "table.json")
    run("import", out / "table.json")
    texts = {name: run("diff", "lut1", "lut2", "--format", name)[1] for name in DIFF_FORMATS}
    lines = [json.loads(line) for line in texts["jsonl"].splitlines()]
    table = list(csv.DictReader(io.StringIO(texts["csv"])))
    marked = [line for line in texts["md"].splitlines() if line.startswith("|")]
    assert len(lines) == len(table) == len(marked) - 2 == len(json.loads(texts["json"])["kinds"]) + 1
    assert "- lut2" in texts["md"] and "IMPORTED from table.json (json)" in texts["md"]
    assert lines[-1]["role"] == "all" and lines[-1]["segments"] == 204
    assert "geometric mean of second over first" in texts["table"]


REFUSED = [
    (("import", "{out}/absent"), "LUT30", 6),
    (("import", "{out}/absent", "--layout", "ofa", "--device-name", "x"), "LUT30", 6),
    (("import", "{out}/bad.yaml", "--device-name", "x"), "LUT31", 6),
    (("import", "{out}/bad.json"), "LUT33", 6),
    (("import", "{out}/store.sqlite3", "--device-name", "x"), "LUT30", 6),
    (("export", "lut9"), "LUT01", 6),
    (("export", "lut1", "--to", "ofa", "--resolution", "9"), "LUT34", 6),
    (("export", "lut1", "-o", "{out}"), "CFG07", 2),
    (("diff", "lut1", "lut9"), "LUT01", 6),
    (("diff", "lut1", "lut2"), "LUT36", 6),
    (("merge", "lut1"), "LUT35", 6),
    (("validate", "lut2"), "LUT07", 6),
    (("merge", "lut1", "lut1"), "LUT35", 6),
    (("import", "{out}/good.json", "--device-name", "x"), "leave --device-name out", 2),
    (("import", "{out}/ofa.yaml"), "--device-name", 2),
    (("import", "{out}/ofa.yaml", "--device-name", " "), "--device-name", 2),
    (("export", "lut1", "--resolution", "8"), "--resolution", 2),
    (("export", "lut1", "--to", "yaml"), "yaml", 2),
]


@pytest.mark.parametrize(("arguments", "hint", "status"), REFUSED, ids=lambda one: one if type(one) is str else "")
def test_what_cannot_be_done_is_told_and_changes_nothing(run, out, arguments, hint, status):
    run(*[part.format(out=out) for part in IMPORT])
    (out / "bad.yaml").write_text("a: !!python/name:os.system\n")
    (out / "bad.json").write_text('{"schema": "mnas.lut/9"}')
    run("export", "lut1", "-o", out / "good.json")
    before = luts(out)
    found, text, err = run(*[part.format(out=out) for part in arguments])
    assert (found, text) == (status, "") and hint in err
    assert luts(out) == before


def test_a_store_of_before_takes_tables_in(run, out):
    """Stores without the column of origins are brought up to date, and their tables count as built."""
    before = next(i for i, script in enumerate(LATENCY.migrations) if "origin_json" in script)
    (out / FILE_NAME).unlink()
    with Store(out / FILE_NAME, (Component("latency", LATENCY.migrations[:before]),)) as store:
        names = "lut_id identity created_at_utc space device_key device_json dtype settings_json".split()
        marks = ", ".join("?" * len(names))
        store.execute(f"INSERT INTO lut (status, batch, {', '.join(names)}) VALUES ('building', 1, {marks})", names)
    assert run(*[part.format(out=out) for part in IMPORT])[0] == 0
    assert [row["origin_json"] is None for row in luts(out)] == [True, False]
