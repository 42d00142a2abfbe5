"""The audits that come with the tool speak for the searches that its examples make."""

from __future__ import annotations

import tomllib
from pathlib import Path

from mnas.config import make_config
from mnas.spaces.presets import chosen_space
from mnas.spaces.toml_file import definition_sha256
from search.accuracy.audit_log import Audited
from search.accuracy.audit_notes import notes_for_search
from search.accuracy.proxy_schedule import schedule_of
from search.accuracy.shipped_audits import shipped_verdict, shipped_verdicts

DEMO = Path(__file__).resolve().parents[2] / "docs" / "examples" / "demo.toml"


def demo(**changes):
    keys = tomllib.loads(DEMO.read_text(encoding="utf-8"))
    return make_config({**keys, "data": "fashion", "preset": "fashion", **changes})


def asked(config, fingerprint):
    definition = definition_sha256(chosen_space(config.space, config.preset).definition)
    truth = schedule_of(config, "final", 0).fidelity
    return Audited(config.space, config.preset, definition, fingerprint, truth)


def test_one_is_of_the_demo_and_judged_the_way_it_ranks():
    config = demo()
    (verdict,) = [one for one in shipped_verdicts() if one["space"] == "mobilenetv3" and one["preset"] == "fashion"]
    found = shipped_verdict(asked(config, verdict["fingerprint"]))
    assert found == verdict and found["is_shipped"]
    assert found["networks"] >= 24 and found["seeds"] >= 2
    source = f"proxy-training:fashion/{schedule_of(config, 'proxy', 0).fidelity}/rank-valx1"
    notes = notes_for_search(found, config.accuracy, {source})
    assert notes[0].startswith("audit that comes with mnas") and notes[-1].startswith("proxy ranks at tau")


def test_none_speaks_for_other_data_training_or_spaces():
    fingerprint = shipped_verdicts()[0]["fingerprint"]
    assert shipped_verdict(asked(demo(), "0" * 64)) is None
    assert shipped_verdict(asked(demo(training="small"), fingerprint)) is None
    assert shipped_verdict(asked(demo(preset="digits"), fingerprint)) is None
