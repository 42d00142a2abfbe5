"""The page of a study in a real browser: pointing, brushing, comparing, the keyboard, print, dark and light."""

import re

import pytest
from recorded_study import RecordedStudy

from latency.table import load_table
from mnas.cli.study_report import write_report
from mnas.segments import segments_of
from search.study import open_store

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="window.hacked=1"></script><script>window.hacked=2</script>'
OBJECTIVES = "error,latency@1,latency@2,params,peak_memory"


class Written:
    """A recorded study with its page."""

    def __init__(self, out, **keys):
        self.study = RecordedStudy(out, **keys)
        with open_store(out, must_exist=True) as store:
            self.result = self.study.result()
            self.path = write_report(store, self.result, out)
            self.table = load_table(store, self.result.lut_ids[0])

    def segments(self, arch_id):
        genome = next(one.genome for one in self.result.candidates if one.arch_id.startswith(arch_id))
        return segments_of(self.study.space.decode(genome))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return Written(tmp_path_factory.mktemp("small") / "out", candidates=60, failing={3: HOSTILE})


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    out = tmp_path_factory.mktemp("several") / "out"
    return Written(out, candidates=80, objectives=OBJECTIVES, other_devices=("host:litert",))


def count(page):
    shown, whole = re.match(r"([\d,]+) of ([\d,]+) networks", page.text(".count")).groups()
    return int(shown.replace(",", "")), int(whole.replace(",", ""))


def listed(page):
    return [row.get_attribute("data-network") for row in page.all(".list tr[data-network]")]


def brush(page, left, top, right, bottom):
    """Drag over a part of the chart, in fractions of its size."""
    page.middle(".chart")
    box = page.run("const box = arguments[0].getBoundingClientRect(); return box.toJSON()", page.one(".chart svg"))
    x, y, width, height = (box[name] for name in ("x", "y", "width", "height"))
    page.move(x + left * width, y + top * height, drag_to=(x + right * width, y + bottom * height))


def pinned(page):
    return [page.chosen(f"#pick-{slot}")[:12] for slot in "ab"]


def test_pointing_at_a_network_draws_it_and_tells_its_figures(page, small):
    page.open(small.path)
    members = [one for one in small.result.members if not one.arch_id == small.result.best_under_target]
    for member in members[:2]:
        name = member.arch_id[:12]
        page.move(*page.middle(f'.finals .pt[data-id="{name}"]'))
        assert page.text(".detail h3 code") == name
        told = page.text(".detail")
        for words in (f"{member.measured_ms:.4g}"[:4], "predicted", "measured", "mean of 2 seed(s)", "proxy-training"):
            assert words in told, words
        assert small.result.lut_ids[0] in told and small.result.study_id in told
        assert re.search(r"measured[\d.]+ ms \[[\d.]+, [\d.]+\]", told), "the interval stands beside the figure"
        blocks = sum(len(segment.blocks) for segment in small.segments(name))
        assert len(page.all(".detail svg.net .box")) == blocks
        assert len(page.all(".detail svg.net .cost")) == len(small.segments(name))


def test_the_keyboard_reaches_every_network_and_picks_two(page, small):
    page.open(small.path)
    page.run("document.querySelector('.chart').focus()")
    page.press("\ue011")  # Home
    seen = []
    for _ in range(count(page)[1]):
        seen.append(page.text(".detail h3 code"))
        page.press("\ue014")  # ArrowRight
    drawn = [one for one in small.result.candidates if one.error is not None]
    assert {one.arch_id[:12] for one in drawn} == set(seen)
    page.press("\ue011", "a", "\ue010", "b")  # Home, End
    assert pinned(page) == [seen[0], seen[-1]]
    assert page.text(".spoken").startswith(seen[-1]), "a screen reader hears it"


def test_dragging_filters_and_escape_shows_all(page, small):
    page.open(small.path)
    before = count(page)
    assert before == (60, 60)
    brush(page, 0.1, 0.05, 0.55, 0.95)
    inside, whole = count(page)
    assert 0 < inside < whole == 60
    assert len(page.all(".chip")) == 3 and page.all(".front .brush")
    dots = [one.get_attribute("d").count("M") for one in page.all(".front .dots")]
    marks = len(page.all(".front .finals .pt:not(.is-out)"))
    assert dots[1] + marks == inside and sum(dots) + len(page.all(".front .finals .pt")) == 59
    page.run("document.querySelector('.chart').focus()")
    page.press("\ue00c")  # Escape
    assert count(page) == before and not page.all(".front .brush")


def test_filters_by_hand_hold_what_they_say(page, small):
    page.open(small.path)
    page.one(".ranges summary").click()
    least = page.one('.ranges input[aria-label="top-1 accuracy, least"]')
    accuracies = sorted(1 - one.error for one in small.result.candidates if one.error is not None)
    least.send_keys(f"{100 * accuracies[30]:.3f}\n")
    page.settle()
    inside, _ = count(page)
    finals = {one.arch_id: 1 - one.val_error for one in small.result.members}
    best = [finals.get(one.arch_id, 1 - one.error) for one in small.result.candidates if one.error is not None]
    assert abs(inside - sum(one >= accuracies[30] for one in best)) <= 1
    page.one(".chip.all").click()
    page.settle()
    find = page.one("#find")
    wanted = small.result.candidates[5].arch_id[:12]
    find.send_keys(wanted)
    page.settle()
    assert listed(page) == [wanted]
    find.clear()
    find.send_keys(" ")
    page.settle()
    page.choose("#kind", "front")
    assert set(listed(page)) == {one.arch_id[:12] for one in small.result.members if one.is_recommended}


def test_two_networks_stand_beside_each_other_block_by_block(page, small):
    page.open(small.path)
    first, second = small.result.members[0], small.result.members[-1]
    for slot, member in (("a", first), ("b", second)):
        page.choose(f"#pick-{slot}", member.arch_id[:12])
    rows = page.cells(".blocks tbody tr")
    for side, member in ((1, first), (3, second)):
        segments = small.segments(member.arch_id)
        told = [row[side] for row in rows if row[side] != "no block"]
        assert len(told) == len(segments)
        for text, segment in zip(told, segments, strict=True):
            assert text.startswith(" + ".join(block.label() for block in segment.blocks))
        costs = [float(row[side + 1]) for row in rows if row[side] != "no block"]
        assert costs == pytest.approx([small.table.cost_ms(segment) for segment in segments], rel=0.01)
    total = page.texts(".blocks tfoot td")
    assert float(total[1]) == pytest.approx(first.candidate.predicted_ms, rel=0.01)
    assert float(total[3]) == pytest.approx(second.candidate.predicted_ms, rel=0.01)
    assert len(page.all(".comparison .pair svg.net")) == 2
    page.one("#only").click()
    kept = [row for row in page.all(".blocks tbody tr") if row.is_displayed()]
    assert len(kept) == sum(row[1] != row[3] for row in rows)


def test_a_click_on_a_dot_and_on_a_row_picks_it(page, small):
    page.open(small.path)
    row = page.all(".list button.id")[3]
    name = row.text.split()[0]
    page.run("arguments[0].scrollIntoView({block: 'center'})", row)
    row.click()
    page.settle()
    assert name in pinned(page) and page.text(".detail h3 code") == name
    other = next(one.arch_id[:12] for one in small.result.members if one.arch_id[:12] not in pinned(page))
    page.move(*page.middle(f'.finals .pt[data-id="{other}"]'), click=True)
    assert other in pinned(page)


def test_the_list_sorts_by_every_column_and_grows(page, small):
    page.open(small.path)
    heads = len(page.all(".list th button"))
    assert heads == 6
    for place in range(2):
        page.all(".list th button")[place].click()
        page.settle()
        cells = [float(row[place + 1].removesuffix(" %")) for row in page.cells(".list tbody tr")]
        is_falling = bool(page.all('.list th[aria-sort="descending"]'))
        assert cells == sorted(cells, reverse=is_falling)
    assert len(listed(page)) == 10
    page.one(".more").click()
    page.settle()
    assert len(listed(page)) == 60


def test_hostile_names_stay_text(page, tmp_path):
    out = tmp_path / "out"
    written = Written(out, candidates=12, finalists=3, failing={1: HOSTILE}, source=HOSTILE)
    page.open(written.path)
    assert page.all("img") == [] and page.run("return window.hacked === undefined")
    page.choose("#kind", "failed")
    page.run("document.querySelector('.list button.id').click()")
    page.settle()
    assert page.text(".why") == HOSTILE and HOSTILE in page.text(".detail dl")
    assert page.all("img") == [] and page.run("return window.hacked === undefined")


def test_scripts_that_are_not_ours_do_not_run(page, small, tmp_path):
    """The policy holds even where markup gets through."""
    broken = tmp_path / "broken.html"
    added = "<main><details open ontoggle='window.hacked=1'></details><script>window.hacked=2</script>"
    broken.write_text(small.path.read_text(encoding="utf-8").replace("<main>", added), encoding="utf-8")
    page.open(broken)
    page.settle()
    assert page.run("return window.hacked === undefined") and page.all(".detail h3")
    refused = page.complaints()
    assert len(refused) >= 2 and all("Content Security Policy" in one for one in refused)


def test_two_thousand_candidates_are_one_small_quick_page(page, tmp_path):
    written = Written(tmp_path / "out", candidates=2000, finalists=12, preset="imagenet", population=20)
    assert written.path.stat().st_size < 2_000_000
    page.open(written.path)
    whole = len(written.result.candidates)
    assert count(page) == (whole, whole) and whole > 1900
    assert page.run("return document.querySelectorAll('.front *').length") < 200, "a dot is no element of its own"
    brush(page, 0.2, 0.1, 0.5, 0.9)
    inside, _ = count(page)
    assert 0 < inside < whole


def test_more_objectives_and_devices_are_all_there(page, several):
    page.open(several.path)
    options = page.texts("#axis-x option")
    for words in ("worst of devices", "on host:ort", "on host:litert", "parameters", "peak memory", "MACs"):
        assert any(words in one for one in options), words
    lanes = page.texts(".lanes .label")
    assert lanes == ["accuracy", "params", "peak_memory", "latency@1", "latency@2"]
    script = """document.querySelector('.lanes').scrollIntoView({block: 'center'});
        const axis = document.querySelectorAll('.lanes .base')[arguments[0]].getBoundingClientRect();
        return [axis.left + axis.width / 2, axis.top, axis.height];"""
    x, top, height = page.run(script, 1)
    page.move(x, top + 0.05 * height, drag_to=(x, top + 0.5 * height))
    inside, whole = count(page)
    assert 0 < inside < whole and len(page.all(".lanes .brush")) == 1
    page.run(
        "const pick = document.querySelector('#axis-x'); pick.value = '4'; pick.dispatchEvent(new Event('change'))"
    )
    assert "parameters" in page.run(
        "return [...document.querySelectorAll('.front .label')].map(one => one.textContent).join()"
    )
    page.run(
        "const pick = document.querySelector('#pick-device'); pick.value = '1'; pick.dispatchEvent(new Event('change'))"
    )
    page.settle()
    told = page.text(".detail")
    assert "measured on host:ort" in told and "measured on host:litert" in told


def test_dark_light_and_print(page, small):
    page.open(small.path)
    colour = "return getComputedStyle(document.body).backgroundColor"
    light = page.run(colour)
    page.one("button.theme").click()
    dark = page.run(colour)
    assert light != dark
    page.one("button.theme").click()
    assert page.run(colour) == light
    page.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    assert page.run(colour) == light, "what was chosen counts"
    page.driver.refresh()
    assert page.run(colour) == dark
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    for selector in (".toolbar", ".chips", ".actions", "button.theme"):
        assert page.run("return getComputedStyle(document.querySelector(arguments[0])).display", selector) == "none"
    printed = page.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})
    assert len(printed["data"]) > 20_000


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_sticks_out_sideways(page, several, width):
    page.open(several.path, size=(width, 800))
    page.settle()
    assert page.run("return document.documentElement.scrollWidth") <= width
