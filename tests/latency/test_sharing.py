"""Several devices that build one table: shared work, a lost device, devices that do not agree."""

import json
import threading
from dataclasses import replace

import pytest

from latency import sharing as sharing_module
from latency.builder import LutBuilder
from latency.consistency import DeviceShare, common_probes, judge, load_consistency
from latency.records import devices_of, rounds_done
from latency.sharing import SharedBuild
from latency.table import list_tables
from mnas.errors import ConfigError, DeviceError, LutError


@pytest.fixture
def phone(additive_device):
    """Make one of several devices of one kind: ``phone("a", lost_after=100)`` is lost after 100 visits.

    With ``waits_for`` it stands still after 100 visits until that device is lost, so that the other has its part.
    """

    class Phone(additive_device):
        def __init__(self, name, *, lost_after=None, uneven=None, waits_for=None, **options):
            super().__init__(**options)
            self.info = replace(self.info, device_id=name)
            self.left = lost_after
            self.uneven = uneven or (lambda sha256: 1.0)
            self.is_closed = False
            self.waits_for = waits_for
            self.is_lost = threading.Event()
            self.visits = 0

        def run(self, batch):
            for event in super().run(batch):
                self.visits += 1
                if self.waits_for is not None and self.visits > 100:
                    assert self.waits_for.is_lost.wait(60)
                if self.left is not None:
                    self.left -= 1
                    if self.left < 0:
                        self.is_lost.set()
                        raise DeviceError("ADB62", "the phone was lost", value=self.info.device_id)
                yield event

        def true_ms(self, artifact):
            return super().true_ms(artifact) * self.uneven(artifact.sha256)

        def close(self):
            super().close()
            self.is_closed = True

    return Phone


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(sharing_module, "_SMALLEST_PIECE", 10)


def build(store, devices, plan, told=None, **options):
    told = [] if told is None else told
    return SharedBuild(store, devices, plan, lambda *_: None, told.append).build(**options)


def visits_by_device(store):
    rows = store.query(
        "SELECT s.device_id, v.sha256, count(*) AS n FROM lut_visit v JOIN lut_sitting s USING (sitting_id) "
        "WHERE json_extract(v.record_json, '$.ref') IS NULL GROUP BY s.device_id, v.sha256"
    )
    found = {}
    for row in rows:
        found.setdefault(row["device_id"], {})[row["sha256"]] = row["n"]
    return found


def figures(table):
    return {segment: entry.latency_ms for segment, entry in table.entries.items()}


def test_two_devices_make_the_table_that_one_would_make(store, plan, phone, additive_device):
    alone = LutBuilder(store, additive_device(), plan, lambda *_: None).build()
    phones = [phone("a"), phone("b", speed=0.6)]
    table = build(store, phones, plan, anew=True)
    assert figures(table) == pytest.approx(figures(alone), abs=1e-4)
    by_device = visits_by_device(store)
    a, b = by_device["a"], by_device["b"]
    common = len(common_probes(plan))
    assert len(a.keys() & b.keys()) == common
    assert len(a.keys() | b.keys()) == len(plan.probes) + len(plan.networks)
    assert min(len(a), len(b)) > common, "both did a part of what need not be done twice"
    assert all(one.is_closed for one in phones)
    report = load_consistency(store, table.lut_id)
    assert report["verdict"] == "ok" and report["reasons"] == []
    assert [(one["device_id"], one["probes"]) for one in report["devices"]] == [("a", common), ("b", common)]
    assert all(one["ratio"] == pytest.approx(1, abs=1e-3) for one in report["devices"])
    first, second = (one["level"] for one in report["devices"])
    assert second / first == pytest.approx(1 / 0.6, rel=1e-2), "the slower phone shows by its references alone"
    assert sum(one["visits"] for one in report["devices"]) == sum(a.values()) + sum(b.values())
    assert load_consistency(store, alone.lut_id) is None


def test_a_device_that_is_lost_gives_its_piece_to_the_other(store, plan, phone, additive_device):
    told = []
    lost = phone("b", lost_after=200)
    phones = [phone("a", waits_for=lost), lost]
    table = build(store, phones, plan, told)
    assert [text for text in told if text.startswith("b was lost") and "ADB62" in text] == told != []
    assert set(table.entries) == set(plan.segments)
    rounds = plan.settings.protocol.rounds
    done = rounds_done(store, table.lut_id)
    assert set(done.values()) == {rounds, 2 * rounds}, "what the lost device made is not made again"
    # Common probes are made by both devices, and whole networks have twice the rounds.
    assert sum(count == 2 * rounds for count in done.values()) == len(common_probes(plan)) + len(plan.networks)
    assert all(one.is_closed for one in phones)
    whole = LutBuilder(store, additive_device(), plan, lambda *_: None).build(anew=True)
    assert figures(table) == pytest.approx(figures(whole), abs=1e-4)


def test_when_all_are_lost_the_next_build_goes_on(store, plan, phone):
    with pytest.raises(DeviceError, match="ADB62"):
        build(store, [phone("a", lost_after=300), phone("b", lost_after=250)], plan)
    kept = visits_by_device(store)
    assert sum(sum(visits.values()) for visits in kept.values()) > 100
    table = build(store, [phone("a"), phone("c")], plan)
    assert [row["lut_id"] for row in list_tables(store)] == [table.lut_id]
    now = visits_by_device(store)
    assert all(now[name][sha256] >= count for name in kept for sha256, count in kept[name].items())
    assert set(devices_of(store, table.lut_id)) == {"a", "b", "c"}
    assert load_consistency(store, table.lut_id)["verdict"] in ("ok", "unknown")


def test_one_device_can_finish_what_two_began_and_is_still_compared(store, plan, phone):
    with pytest.raises(DeviceError):
        build(store, [phone("a", lost_after=300), phone("b", lost_after=250)], plan)
    table = LutBuilder(store, phone("a"), plan, lambda *_: None).build()
    report = load_consistency(store, table.lut_id)
    assert report["verdict"] == "ok"
    assert {one["device_id"] for one in report["devices"]} == {"a", "b"}


def odd(sha256):
    return int(sha256[:8], 16) % 2 == 1


@pytest.mark.parametrize(
    ("factor", "only", "verdict"),
    [(1.02, None, "ok"), (1.06, None, "differ"), (1.2, None, "disagree"), (1.9, odd, "disagree")],
    ids=["2 %", "6 %", "20 %", "half of the probes by 90 %"],
)
def test_devices_that_do_not_agree_are_told_or_refused(store, plan, phone, tmp_path, factor, only, verdict):
    from devices.references import write_references

    references = {one.sha256 for one in write_references(tmp_path, "onnx").values()}

    def uneven(sha256):
        return factor if sha256 not in references and (only is None or only(sha256)) else 1.0

    phones = [phone("a"), phone("b", uneven=uneven)]
    if verdict == "disagree":
        with pytest.raises(LutError, match=r"LUT21.*against the others.*--anew --device") as caught:
            build(store, phones, plan)
        assert caught.value.exit_code == 6
        (row,) = list_tables(store)
        assert row["status"] == "building"
        # Going on with one of them changes nothing: the other's visits are in the table.
        with pytest.raises(LutError, match="LUT21"):
            LutBuilder(store, phone("a"), plan, lambda *_: None).build()
        assert LutBuilder(store, phone("a"), plan, lambda *_: None).build(anew=True).lut_id != row["lut_id"]
        assert load_consistency(store, row["lut_id"])["verdict"] == "disagree"
        return
    report = load_consistency(store, build(store, phones, plan).lut_id)
    assert report["verdict"] == verdict
    ratios = [one["ratio"] for one in report["devices"]]
    assert ratios == [pytest.approx(1 / factor, rel=1e-3), pytest.approx(factor, rel=1e-3)]
    assert all(
        low <= ratio <= high
        for ratio, (low, high) in zip(ratios, [one["interval"] for one in report["devices"]], strict=True)
    )
    assert bool(report["reasons"]) == (verdict == "differ")
    json.dumps(report, allow_nan=False)


def test_devices_of_different_kinds_or_named_twice_are_refused_before_anything_is_measured(store, plan, phone):
    other = phone("b")
    other.info = replace(other.info, threads=2, runtime_version="7")
    with pytest.raises(LutError, match=r"LUT03: a and b cannot share.*runtime_version: '1' and '7'; threads: 1 and 2"):
        SharedBuild(store, [phone("a"), other], plan, lambda *_: None)
    with pytest.raises(ConfigError, match=r"CFG10.*named twice.*saw: a"):
        SharedBuild(store, [phone("a"), phone("b"), phone("a")], plan, lambda *_: None)
    assert list_tables(store) == []


def test_an_error_in_one_thread_ends_the_others_at_their_next_visit(store, plan, phone):
    class Full(Exception):
        pass

    def progress(what, done, total):
        assert what.startswith("measuring") and 0 < done <= total
        if done == 200:
            raise Full

    phones = [phone("a"), phone("b")]
    with pytest.raises(Full):
        SharedBuild(store, phones, plan, progress).build()
    assert all(one.is_closed for one in phones)
    assert not [one for one in threading.enumerate() if one.name.startswith(("member", "table-heartbeat"))]
    kept = sum(sum(visits.values()) for visits in visits_by_device(store).values())
    assert 200 <= kept <= 202, "one visit of the other device may have been under way"


def share(**values):
    return DeviceShare(
        **{
            "device_id": "a",
            "visits": 9,
            "probes": 8,
            "ratio": 1.0,
            "interval": (0.99, 1.01),
            "spread": 0.02,
            "level": 1.0,
            **values,
        }
    )


def test_a_device_without_common_probes_cannot_be_judged():
    lost = share(device_id="b", probes=0, ratio=None, interval=None, spread=None, level=float("nan"))
    report = judge([share(), lost])
    assert report.verdict == "unknown" and "b measured 0 of the common probes" in report.reasons[0]
    assert report.to_json()["devices"][1]["level"] is None
    assert judge([share(ratio=1.5), lost]).verdict == "disagree"
    assert judge([share(), share(spread=0.1)]).verdict == "differ"
    assert judge([share(), share()]).verdict == "ok"


def test_sittings_of_before_devices_were_noted_count_as_no_other_device(store, plan, phone):
    with pytest.raises(DeviceError):
        LutBuilder(store, phone("a", lost_after=300), plan, lambda *_: None).build()
    store.execute("UPDATE lut_sitting SET device_id = ''")
    table = LutBuilder(store, phone("a"), plan, lambda *_: None).build()
    assert devices_of(store, table.lut_id) == ["", "a"]
    assert load_consistency(store, table.lut_id) is None
