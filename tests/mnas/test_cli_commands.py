"""Commands that succeed: formats, plans, the optional value of --resume, and what the terminal gets."""

import csv
import io
import json
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.references import REFERENCE_NETWORKS
from mnas import cli
from mnas.cli import main
from mnas.cli.output import ConsoleReporter, Format, Result, render, say
from mnas.store import FILE_NAME

COMMANDS = {
    "arch list": ("arch", "list"),
    "arch show": ("arch", "show", "mobilenetv3-small", "--px", "64"),
    "data check": ("data", "check", "digits"),
    "devices list": ("devices", "list"),
    "lut show": ("lut", "show", "--out", "{out}"),
    "lut show ID": ("lut", "show", "lut1", "--out", "{out}"),
    "lut build plan": ("lut", "build", "--preset", "digits", "--plan"),
    "search plan": ("search", "--data", "digits", "--plan"),
}


def strict_json(text):
    def refuse(constant):
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def outputs(digits_out):
    """Run each command once in a format; the same command again gives the same text."""
    known = {}

    def output(name, output_format, capsys):
        if (name, output_format) not in known:
            given = [argument.format(out=digits_out) for argument in COMMANDS[name]]
            assert main([*given, "--format", output_format]) == 0
            known[name, output_format] = capsys.readouterr().out
        return known[name, output_format]

    return output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_format_holds_the_same_rows(outputs, capsys, name):
    lines = [strict_json(line) for line in outputs(name, "jsonl", capsys).splitlines()]
    table = list(csv.reader(io.StringIO(outputs(name, "csv", capsys))))
    marked = [line for line in outputs(name, "md", capsys).splitlines() if line.startswith("|")]
    document = strict_json(outputs(name, "json", capsys))
    assert lines
    assert document["schema_version"] == 1
    assert all(list(line) == table[0] for line in lines)
    assert [["" if cell is None else str(cell) for cell in line.values()] for line in lines] == table[1:]
    assert marked[0] == f"| {' | '.join(table[0])} |"
    assert len(marked) == len(table) + 1
    if "rows" in document:
        assert document["rows"] == lines
    assert len(document) > 1
    assert outputs(name, "table", capsys).strip()


def test_validation_measures_now_and_gives_all_four_predictions(digits_out, capsys):
    options = ["--networks", "3", "--max-drift", "1000", "--out", str(digits_out), "--format", "json"]
    assert main(["lut", "validate", "lut1", *options]) == 0
    document = strict_json(capsys.readouterr().out)
    assert document["validation"]["networks"] == 3
    assert {"table", "plain_sum", "constant", "macs_linear"} <= set(document["validation"])


def test_a_table_that_is_there_is_not_built_again(digits_out, capsys):
    options = "--preset digits --mode fast --rounds 3 --calibration 4 --validation 4 --format json"
    assert main(["lut", "build", *options.split(), "--out", str(digits_out)]) == 0
    captured = capsys.readouterr()
    document = strict_json(captured.out)
    assert document["entries"] == 204
    page = digits_out / "reports" / f"{document['lut_id']}.html"
    assert captured.err == f"report: {page}\nnext: mnas lut show {document['lut_id']} --out {digits_out}\n"
    assert page.is_file()


def test_a_calibrated_device_keeps_its_nominals(digits_out, capsys):
    assert main(["devices", "calibrate", "--out", str(digits_out), "--format", "jsonl"]) == 0
    captured = capsys.readouterr()
    assert "has nominals already; --replace" in captured.err
    rows = [strict_json(line) for line in captured.out.splitlines()]
    assert len({row["reference"] for row in rows}) == len(REFERENCE_NETWORKS)
    assert all(row["nominal ms"] > 0 for row in rows)


def test_a_shown_table_says_what_it_is_of(outputs, capsys):
    document = strict_json(outputs("lut show ID", "json", capsys))
    assert document["space"] == "mobilenetv3/digits"
    assert document["device"]["runtime"] == "onnxruntime"
    assert (document["dtype"], document["batch"]) == ("float32", 1)
    assert len(document["entries"]) == 204
    assert all(entry["low_ms"] <= entry["latency_ms"] <= entry["high_ms"] for entry in document["entries"])


@pytest.mark.parametrize("name", ["arch list", "lut show ID"])
def test_a_file_takes_the_place_of_stdout(outputs, capsys, digits_out, tmp_path, name):
    expected = outputs(name, "csv", capsys)
    given = [argument.format(out=digits_out) for argument in COMMANDS[name]]
    assert main([*given, "--format", "csv", "-o", str(tmp_path / "new" / "result.csv")]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "new" / "result.csv").read_text() == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "--data", "digits", "--plan"),
        ("search", "--data", "digits", "--plan", "--budget", "7", "--training", "small"),
        ("lut", "build", "--preset", "digits", "--plan"),
    ],
    ids=" ".join,
)
def test_a_plan_starts_nothing(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MNAS_OUT", raising=False)
    assert main([*arguments, "--format", "json"]) == 0
    document = strict_json(capsys.readouterr().out)
    assert document["lut"]["segments"] == 204
    assert document["lut"]["estimated_minutes"] > 0
    assert document["lut"]["estimated_bytes"] > 0
    if "--budget" in arguments:
        assert (document["config"]["budget"], document["candidates"]) == (7, 7)
    assert list(tmp_path.iterdir()) == []


def test_flags_override_the_file_and_the_file_the_defaults(tmp_path, capsys):
    path = tmp_path / "study.toml"
    path.write_text('data = "digits"\nbudget = 5\nseed = 3\n')
    assert main(["search", "--config", str(path), "--seed", "4", "--plan", "--format", "json"]) == 0
    config = strict_json(capsys.readouterr().out)["config"]
    assert [config[key] for key in ("data", "preset", "budget", "seed", "population")] == ["digits", "digits", 5, 4, 8]


def test_the_output_folder_comes_from_the_environment_too(digits_out, monkeypatch, capsys):
    monkeypatch.setenv("MNAS_OUT", str(digits_out))
    assert main(["lut", "show", "--format", "jsonl"]) == 0
    assert strict_json(capsys.readouterr().out)["space"] == "mobilenetv3/digits"


words = st.lists(st.sampled_from(("--resume", "study1", "--out", "x", "-q")), max_size=6)


@given(words)
def test_resume_has_a_value_whatever_follows_it(arguments):
    given_value = cli._with_empty_value(arguments)
    assert [word for word in given_value if word] == arguments
    for place, word in enumerate(given_value):
        if word == "--resume":
            assert not given_value[place + 1].startswith("-")


def test_an_interruption_is_told(monkeypatch, capsys):
    from mnas.cli import devices

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(devices, "emit", interrupt)
    assert main(["devices", "list"]) == 130
    captured = capsys.readouterr()
    assert "mnas: interrupted; what was recorded stays" in captured.err
    assert captured.out == ""


def test_an_error_that_nobody_foresaw_is_one_line(monkeypatch, capsys):
    from mnas.cli import devices

    def fail(*_):
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.setattr(devices, "emit", fail)
    assert main(["devices", "list"]) == 1
    assert capsys.readouterr().err == (
        "mnas: ZeroDivisionError: first line (run again with --debug for the traceback)\n"
    )
    with pytest.raises(ZeroDivisionError):
        main(["devices", "list", "--debug"])


cells = st.one_of(st.none(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text())


@given(st.lists(st.tuples(cells, cells), max_size=4))
def test_any_cell_survives_the_formats_for_programs(rows):
    result = Result(("a", "b"), rows)
    objects = [{"a": a, "b": b} for a, b in rows]
    assert strict_json(render(result, Format.json))["rows"] == objects
    lines = render(result, Format.jsonl).split("\n")
    assert [strict_json(line) for line in lines[:-1]] == objects
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not any(set(text) & set("\r\n\0") for row in texts for text in row):
        assert list(csv.reader(io.StringIO(render(result, Format.csv), newline=""))) == [["a", "b"], *texts]
    assert render(result, Format.table)


hostile = st.sampled_from(("Pixel [/b]", "[bold]x", "[link=a]", ":smile:", "a\x1b[2J\x07b", "\x9b31m"))
names = st.one_of(hostile, st.text())


@given(title=names, head=names, cell=names, note=names)
def test_no_name_is_markup_of_a_table_or_steers_the_terminal(title, head, cell, note):
    result = Result((head, "b"), [[cell, 1]], title=title, notes=[note])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", render(result, Format.table))


@pytest.mark.parametrize("name", ["Pixel [/b]", "[red]phone[/red]", "[link=https://x]", ":smile:", "a\\[b]"])
def test_names_with_brackets_are_shown_as_they_are(name):
    title, _, head, _, row, *_ = render(Result((name,), [[name]], title=name), Format.table).splitlines()
    assert [text.strip() for text in (title, head, row)] == [name] * 3


def test_markdown_escapes_what_would_end_a_cell():
    assert render(Result(("a",), [["x|y"]]), Format.md) == "| a |\n| --- |\n| x\\|y |\n"


def test_markdown_holds_title_and_notes_apart_from_the_table():
    text = render(Result(("a",), [[1]], title="lut1", notes=["UNVALIDATED: <b>", "two\nlines"]), Format.md)
    assert text == "### lut1\n\n| a |\n| --- |\n| 1 |\n\n- UNVALIDATED: \\<b>\n- two lines\n"


@given(st.text(), st.lists(st.text(), max_size=3), st.lists(st.tuples(cells), max_size=3))
def test_no_title_and_no_note_can_add_or_end_a_row_of_markdown(title, notes, rows):
    rows = [[cell if not isinstance(cell, str) else " ".join(cell.split())] for (cell,) in rows]
    parts = render(Result(("a",), rows, title=title, notes=notes), Format.md).split("\n\n")
    (table,) = [part for part in parts if part.startswith("| a |\n| --- |")]
    assert len(table.rstrip("\n").split("\n")) == 2 + len(rows)
    assert len(parts) == 1 + bool(title) + bool(notes)


def test_no_message_steers_the_terminal(capsys):
    reporter = ConsoleReporter(prefix="a\x1b[2J: ")
    reporter.line("b\x07\tc")
    reporter.warn("d\x9b31m")
    reporter.progress("e\rf", 1, 1)
    say("g\x1b]0;title\x07")
    assert main(["lut", "show", "lut\x1b[2J", "--out", "nowhere\x1b"]) != 0
    said = capsys.readouterr().err
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said)
    assert said.count("\N{REPLACEMENT CHARACTER}") >= 8 and "\tc" in said


def test_progress_goes_to_stderr_as_plain_lines_and_quiet_says_warnings_alone(capsys):
    loud, quiet = ConsoleReporter(), ConsoleReporter(quiet=True)
    for reporter in (loud, quiet):
        reporter.line("a line")
        for done in range(1, 101):
            reporter.progress("measuring", done, 100)
        reporter.warn("careful")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "\r" not in captured.err and "\x1b" not in captured.err
    assert captured.err.count("measuring: 100/100\n") == 1
    assert captured.err.count("measuring") == 2  # the first and the last
    assert captured.err.count("a line") == 1
    assert captured.err.count("warning: careful\n") == 2


def test_a_table_holds_no_escape_codes_when_it_is_no_terminal(digits_out, capsys):
    assert main(["lut", "show", "--out", str(digits_out)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_reading_leaves_the_folder_as_it_was(digits_out, capsys):
    before = sorted(os.listdir(digits_out))
    assert main(["lut", "show", "--out", str(digits_out)]) == 0
    assert sorted(os.listdir(digits_out)) == before
    assert FILE_NAME in before


def test_a_result_goes_through_links_and_into_pipes_but_replaces_neither(tmp_path, capsys):
    real, link, pipe = tmp_path / "real.txt", tmp_path / "link.txt", tmp_path / "pipe"
    real.write_text("old")
    link.symlink_to(real)
    assert main(["arch", "list", "-o", str(link)]) == 0
    assert link.is_symlink() and "mobilenetv2" in real.read_text()
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert main(["arch", "list", "-o", str(pipe)]) == 0
        assert b"mobilenetv2" in os.read(reader, 65536)
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert main(["arch", "list", "-o", str(tmp_path)]) == 2
    assert "CFG07" in capsys.readouterr().err


def test_more_threads_than_processors_are_refused(tmp_path, capsys):
    device = f"host:ort,threads={(os.cpu_count() or 1) + 1}"
    assert main(["lut", "build", "--preset", "digits", "--device", device, "--out", str(tmp_path)]) == 2
    assert "CFG11" in capsys.readouterr().err
