"""docs/troubleshooting.md: each mistake is made again, and the page says what mnas says."""

from __future__ import annotations

import re

import pytest
from docs_scripts import DOCS, load_script

PAGE = DOCS / "troubleshooting.md"


SCRIPT = load_script("write_troubleshooting")


def sections() -> list[str]:
    _, *found = re.split(r"^(?=## \d+\. )", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return found


@pytest.mark.parametrize("number", range(1, len(SCRIPT.MISTAKES) + 1))
def test_the_page_says_what_the_command_says(number):
    mistake = SCRIPT.MISTAKES[number - 1]
    now = "\n".join(SCRIPT.section(number, mistake)).strip()
    assert sections()[number - 1].strip() == now, "run docs/write_troubleshooting.py and read what has changed"


def test_the_page_holds_every_mistake_with_a_code_and_an_exit_code():
    found = sections()
    assert len(found) == len(SCRIPT.MISTAKES) == 15
    for section in found:
        assert re.search(r"\b[A-Z]{3}\d\d: .*\n", section)
        assert re.search(r"^exit code [2-6]$", section, flags=re.MULTILINE)
        assert "Traceback" not in section


def test_a_message_is_the_last_word_on_stderr_or_what_a_table_says():
    assert SCRIPT.message("", "warning: slow\nmnas: CFG01: no\nsecond line") == "mnas: CFG01: no second line"
    assert SCRIPT.message("a table\nm.onnx: MOD01: no\n  such model", "page: x") == "m.onnx: MOD01: no   such model"
    with pytest.raises(ValueError, match="no message"):
        SCRIPT.message("all is well", "")


def test_neutral_leaves_out_folder_ids_and_machine(tmp_path):
    text = f"{tmp_path}/a.onnx of study3-0a1b2c3d and lut1-03a9b711, model: table 'x', device 'Xeon (R)', in {tmp_path}"
    neutral = SCRIPT.neutral(text, tmp_path)
    assert neutral == "a.onnx of study3-… and lut1-…, model: table 'x', device …, in ."
