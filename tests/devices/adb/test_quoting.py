from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from devices.adb.quoting import join_words, quote_word, with_token
from mnas.errors import ConfigError

_ECHO = "import json, sys; print(json.dumps(sys.argv[1:]))"
_WORDS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12), min_size=1, max_size=5)
_ODD = [
    "",
    "-n",
    "--",
    "a b",
    "it's",
    '"',
    "$HOME",
    "`id`",
    "$(id)",
    "a\nb",
    "\\",
    "*",
    "~",
    "#",
    "a;b",
    "ü 漢 🙂",
    "\r\t",
]


def _shell(text: str, *, sh: str = "/bin/sh") -> str:
    done = subprocess.run([sh, "-c", text], capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


@settings(max_examples=40)
@given(_WORDS)
@example(_ODD)
def test_a_real_shell_gives_the_program_the_very_words(words: list[str]) -> None:
    # -S: a Python without site packages starts in 10 ms.
    assert json.loads(_shell(join_words([sys.executable, "-I", "-S", "-c", _ECHO, *words]))) == words


@settings(max_examples=40)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=30))
def test_a_word_survives_two_shells(word: str) -> None:
    inner = join_words(["printf", "%s", word])
    assert _shell(join_words(["sh", "-c", inner])) == word


@pytest.mark.parametrize("name", ["if", "a=b", "!", "{"])
def test_a_first_word_is_a_program_whatever_it_looks_like(name: str) -> None:
    done = subprocess.run(["/bin/sh", "-c", join_words([name])], capture_output=True, text=True, check=False)
    assert done.returncode == 127
    assert "not found" in done.stderr


def test_what_no_process_can_take_is_refused() -> None:
    with pytest.raises(ConfigError, match="ADB01"):
        quote_word("a\0b")
    with pytest.raises(ConfigError, match="ADB01"):
        join_words([])


@pytest.mark.parametrize("token", ["", "t1", "it's"])
def test_a_token_is_in_the_environment_from_the_start(token: str) -> None:
    text = with_token('tr "\\0" "\\n" </proc/$$/environ | grep ^MNAS_TOKEN= || true', token)
    assert _shell(text) == (f"MNAS_TOKEN={token}\n" if token else "")


def test_a_script_that_begins_with_a_dash_is_no_option() -> None:
    done = subprocess.run(["/bin/sh", "-c", with_token("-n", "")], capture_output=True, text=True, check=False)
    assert done.returncode == 127
