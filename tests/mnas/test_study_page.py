"""The page of a study: what it hands to its script is what the study and its tables say, and nothing secret."""

import json
import re
from dataclasses import replace

import pytest
from recorded_study import RecordedStudy

from latency.table import load_table
from mnas.cli.study_provenance import public_result
from mnas.cli.study_report import study_page, write_report
from mnas.cli.study_view import candidates_result
from mnas.counts import total_macs, total_params
from mnas.layers import layers_of
from mnas.segments import segments_of
from search.events import EventLog
from search.study import open_store
from search.study_audit import StudyAudit
from search.study_curves import curves_beside
from search.top import top_networks

HOSTILE = "<img src=http://evil.test/x onerror=alert(1)>\"'</script></svg>"
SECTIONS = ["Front", "Compare", "Latency by block", "Measured", "Search", "Latency table"]
SECTIONS += ["Measuring conditions", "Provenance"]


def page_of(study, change=None):
    with open_store(study.out, must_exist=True) as store:
        result = study.result()
        return study_page(store, change(result) if change else result, study.out)


def data_of(html):
    return json.loads(re.search(r'id="page-data">(.*?)</script>', html, re.DOTALL).group(1))


def text_of(html):
    return re.sub(r"<(script|style)[^>]*>.*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return RecordedStudy(tmp_path_factory.mktemp("study") / "out", failing={3: HOSTILE})


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    objectives = "error,latency@1,latency@2,params:max,peak_memory"
    out = tmp_path_factory.mktemp("several") / "out"
    return RecordedStudy(out, objectives=objectives, other_devices=("host:litert",), finalists=4)


def test_the_front_comes_first_and_every_section_is_there(study):
    html = page_of(study)
    assert re.findall(r"<h2>([^<]*)</h2>", html) == SECTIONS
    head = html.partition("<h2>Compare")[0]
    assert 'id="mount-explorer"' in head and 'aria-label="Pareto front"' in head
    names = re.findall(r'aria-label="([^"]*)"', html)
    for name in ("Latency by block on simulated:0", "Residuals", "Predicted against measured latency",
                 "Hypervolume over evaluations", "Speed over the rounds", "load average, 1 min"):  # fmt: skip
        assert name in names, name
    assert any(name.startswith("Latency of blocks by place and kind") for name in names)


def test_networks_are_handed_over_with_their_parts_and_what_these_cost(study):
    data, result = data_of(page_of(study)), study.result()
    (table,) = study.tables
    assert [one["id"] for one in data["networks"]] == [one.arch_id[:12] for one in result.candidates]
    keys = [axis["key"] for axis in data["axes"]]
    assert keys == ["latency", "accuracy", "macs", "params"] and data["sought"] == [1, 0]
    for one, candidate in zip(data["networks"], result.candidates, strict=True):
        architecture = study.space.decode(candidate.genome)
        segments, layers = segments_of(architecture), layers_of(architecture)
        numbers = [number for stage in one["net"] for number in stage]
        assert len(numbers) == len(segments)
        assert [len(stage) for stage in one["net"][1:-1]] == [len(stage.blocks) for stage in architecture.stages]
        cost = sum(data["parts"][number]["ms"][0] for number in numbers) + data["fixed"][0]
        assert cost == pytest.approx(candidate.predicted_ms, rel=1e-3) == one["ms"][0][0]
        low, high = table.estimate([architecture])[0].low_ms, table.estimate([architecture])[0].high_ms
        assert one["ms"][0][1:] == pytest.approx([low, high], rel=1e-3)
        values = dict(zip(keys, one["v"], strict=True))
        assert (values["macs"], values["params"]) == (total_macs(layers), total_params(layers))
        accuracy = None if candidate.error is None else pytest.approx(1 - candidate.error, rel=1e-4)
        assert values["accuracy"] == accuracy and data["sources"][one["by"]] == candidate.accuracy_source
        for number, segment in zip(numbers, segments, strict=True):
            blocks = data["parts"][number]["blocks"]
            assert [block["label"] for block in blocks] == [block.label() for block in segment.blocks]
    labels = [json.dumps(part, sort_keys=True) for part in data["parts"]]
    assert len(set(labels)) == len(labels), "each part is there once"


def test_finalists_are_handed_over_with_intervals_and_sources(study):
    data, result = data_of(page_of(study)), study.result()
    assert len(data["finals"]) == len(result.members) == 6
    for final, member in zip(data["finals"], result.members, strict=True):
        assert data["networks"][final["n"]]["id"] == member.arch_id[:12]
        assert final["v"][:2] == pytest.approx([member.measured_ms, 1 - member.val_error], rel=1e-4)
        assert final["ends"][0] == pytest.approx(member.interval_ms, rel=1e-4)
        errors = member.val_errors
        assert final["ends"][1] == pytest.approx([1 - max(errors), 1 - min(errors)], rel=1e-4)
        assert final["front"] == member.is_recommended and final["by"].startswith("mean of 2 seed")
        assert final["card"] == f"../exports/{member.arch_id[:12]}/card.md"
    assert sum(final["best"] for final in data["finals"]) == 1


def test_more_objectives_and_devices_become_axes(several):
    html = page_of(several)
    data, result = data_of(html), several.result()
    keys = [axis["key"] for axis in data["axes"]]
    assert keys == ["latency", "accuracy", "latency@1", "latency@2", "params:max", "peak_memory", "macs"]
    assert [keys[number] for number in data["sought"]] == [
        "accuracy" if one.key == "error" else one.key for one in result.config.sought
    ]
    assert not data["steps"] and len(data["luts"]) == len(data["fixed"]) == 2
    for one, candidate in zip(data["networks"], result.candidates, strict=True):
        by_key = dict(zip(keys, one["v"], strict=True))
        for value in candidate.values:
            if value.key != "error":
                assert by_key[value.key] == pytest.approx(value.value, rel=1e-4)
        assert by_key["latency"] == pytest.approx(max(by_key["latency@1"], by_key["latency@2"]), rel=1e-4)
    for final, member in zip(data["finals"], result.members, strict=True):
        assert final["v"][2:4] == pytest.approx(member.device_ms, rel=1e-4)
        assert all(low < ms < high for ms, (low, high) in zip(final["v"][2:4], final["ends"][2:4], strict=True))
    for number in (0, 1):
        assert f'aria-label="Latency by block on simulated:{number}"' in html


def test_the_page_moves_with_the_table(study):
    before = data_of(page_of(study))
    with open_store(study.out, must_exist=True) as store:
        store.execute("UPDATE lut_entry SET latency_ms = 2 * latency_ms")
        try:
            after = data_of(page_of(study))
        finally:
            store.execute("UPDATE lut_entry SET latency_ms = latency_ms / 2")
    assert all(b["ms"][0] > 1.5 * a["ms"][0] for a, b in zip(before["parts"], after["parts"], strict=True))


def test_a_search_without_finalists_or_candidates_has_a_page(tmp_path):
    early = RecordedStudy(tmp_path / "early", finalists=0, candidates=10)
    html = page_of(early)
    assert data_of(html)["finals"] == [] and "have not been measured yet" in html
    bare = page_of(early, lambda result: replace(result, candidates=(), generations=(), lut_ids=(), goal=None))
    assert data_of(bare)["networks"] == [] and "Nothing has been measured" not in text_of(html)


def test_a_space_that_is_gone_leaves_figures_without_drawings(tmp_path):
    study = RecordedStudy(tmp_path / "out", candidates=12, finalists=3)
    html = page_of(study, lambda r: replace(r, config=r.config.model_copy(update={"space": "gone.toml"})))
    data = data_of(html)
    assert data["parts"] == [] and all(one["net"] == [] for one in data["networks"])
    assert "nothing is known of single blocks" in html
    assert [axis["key"] for axis in data["axes"]] == ["latency", "accuracy"]


def test_entries_that_are_missing_are_told_apart_from_zero(tmp_path):
    study = RecordedStudy(tmp_path / "out", candidates=12, finalists=3)
    with open_store(study.out, must_exist=True) as store:
        store.execute("DELETE FROM lut_entry WHERE rowid % 3 = 0")
        table = load_table(store, study.tables[0].lut_id)
    html = page_of(study)
    data = data_of(html)
    known = [part["ms"][0] is not None for part in data["parts"]]
    assert any(known) and not all(known) and len(table.entries) > 0
    assert all(one["ms"] == [None] for one in data["networks"])


def test_hostile_texts_stay_text_and_nothing_comes_from_outside(study):
    def hostile(result):
        words = (HOSTILE,)
        return replace(
            result, notices=words, audit=StudyAudit(None, words), versions={HOSTILE: HOSTILE}, status=HOSTILE
        )

    html = page_of(study, hostile)
    assert "<img" not in html and html.count("</script>") == 2
    assert text_of(html).count("&lt;img") >= 5
    urls = set(re.findall(r"https?://[^\"'\s<\\]*", html))
    assert urls <= {"http://www.w3.org/2000/svg", "http://evil.test/x"}
    assert not re.search(r'<(?:link|iframe|object|embed)\b|@import|url\(|\ssrc="', html)


def test_provenance_names_every_run(study):
    html = page_of(study)
    text = text_of(html.partition("<h2>Provenance")[2])
    result = study.result()
    for words in (result.study_id, result.lut_ids[0], f"{result.study_id}/measured@1", "2026-01-01T02:00:00+00:00"):
        assert words in text
    for member in result.members:
        assert member.arch_id[::-1][:12] in text, "the file that was measured"
    assert "seed 7, seed 8" in text


def test_serials_of_phones_do_not_reach_the_page(study):
    serial = "R58M123ABCD"
    spec = f"adb:{serial}/tflite,threads=2"

    def on_a_phone(result):
        config = result.config.model_copy(update={"device": spec})
        return replace(result, config=config, notices=(f"phone {serial} is warm",))

    html = page_of(study, on_a_phone)
    assert serial not in html and re.search(r"adb:phone-[0-9a-f]{8}/tflite,threads=2", html)
    result = study.result()
    assert public_result(result) is result


def test_like_studies_stand_behind_the_curve_of_this_one(tmp_path):
    first = RecordedStudy(tmp_path / "out", candidates=24, finalists=2)
    assert "from the same point" not in page_of(first)
    second = RecordedStudy(tmp_path / "out", candidates=16, finalists=2, seed=1)
    RecordedStudy(tmp_path / "out", candidates=16, finalists=2, seed=2, preset="digits", data="digits")
    html = page_of(second)
    assert "Grey: 1 finished study of the same space, data and devices" in html
    assert f"{first.study_id}: nsga2, seed 0" in html
    with open_store(second.out, must_exist=True) as store:
        own, other = curves_beside(store, second.study_id)
        assert (own.study_id, other.study_id) == (second.study_id, first.study_id)
        assert own.reference_point == other.reference_point
        assert [one.study_id for one in curves_beside(store, second.study_id, most=0)] == [second.study_id]


def test_what_a_score_ranked_has_no_accuracy_anywhere(tmp_path, study):
    scored = RecordedStudy(tmp_path / "out", source="score:synflow:rank of 32 in fashion by 32 images of fashion")
    html, result = page_of(scored), scored.result()
    assert "ranked by synflow, a score of untrained networks" in html and "after short training." not in html
    data, trained = data_of(html), data_of(page_of(study))
    accuracy = [axis["key"] for axis in data["axes"]].index("accuracy")
    assert [one["v"][accuracy] for one in data["networks"]] == [None] * len(result.candidates)
    assert any(one["v"][accuracy] for one in trained["networks"]) and all(one["v"][accuracy] for one in data["finals"])
    told = candidates_result(result)
    assert "rank by synflow" in told.columns and not {"reward", "rank-val error"} & set(told.columns)
    assert all(len(row) == len(told.columns) for row in told.rows)
    assert "reward" in candidates_result(study.result()).columns
    assert {one["rank_val_error"] for one in result.front_json()["members"]} == {None}
    assert {one.split for one in top_networks(result, 40)} == {"val"}
    assert {one.split for one in top_networks(study.result(), 40)} == {"val", "rank-val"}


def test_the_list_of_candidates_has_a_spread_where_one_is_known(study):
    result = study.result()
    first, *others = result.candidates
    told = candidates_result(replace(result, candidates=(replace(first, std=0.25), *others)))
    place = told.columns.index("std")
    assert [row[place] for row in told.rows] == [0.25, *[None] * len(others)]
    assert "std" not in candidates_result(result).columns


def test_writing_it_twice_gives_the_same_page(study):
    with open_store(study.out, must_exist=True) as store:
        result = study.result()
        path = write_report(store, result, study.out)
        first = path.read_bytes()
        assert write_report(store, result, study.out).read_bytes() == first
    assert path == study.out / "reports" / f"{result.study_id}.html"


def test_what_a_search_measured_itself_stands_there_with_its_interval(tmp_path):
    study = RecordedStudy(tmp_path / "out", candidates=12, finalists=0, other_devices=("host:litert",))
    first, second, *_ = study.candidates
    with open_store(study.out) as store:
        log = EventLog(store, study.study_id)
        good = {"ms": 2.5, "low_ms": 2.4, "high_ms": 2.625, "verdict": "ok", "reasons": []}
        log.append("candidate latency", good, f"{first.arch_id}/2")
        log.append("candidate latency", {**good, "ms": None}, f"{second.arch_id}/1")
    found = data_of(page_of(study))["networks"]
    assert found[first.number]["got"] == [None, [2.5, 2.4, 2.625]]
    assert not any("got" in one for one in found if one is not found[first.number])
