"""The one place where arguments become text for a shell on a phone."""

from __future__ import annotations

from collections.abc import Sequence

from mnas.errors import ConfigError

TOKEN_VARIABLE = "MNAS_TOKEN"


def quote_word(text: str) -> str:
    """Return a word that a POSIX shell reads as exactly ``text``: spaces, quotes, ``$``, newlines, "" and all.

    Every word is quoted, the plain ones too: a bare ``if``, ``a=b`` or alias in the first place is no command.

    Raises:
        ConfigError: ``ADB01``: a NUL, which no argument of a process can hold.
    """
    if "\0" in text:
        raise ConfigError("ADB01", "an argument holds a NUL byte", value=text, fix="use a name without it")
    return "'" + text.replace("'", "'\\''") + "'"


def join_words(argv: Sequence[str]) -> str:
    """Return a command line that a POSIX shell splits into exactly ``argv``.

    Raises:
        ConfigError: ``ADB01``: no argument at all, or one with a NUL.
    """
    if not argv:
        raise ConfigError("ADB01", "a command has no words", fix="name the program to run")
    return " ".join(quote_word(word) for word in argv)


def with_token(text: str, token: str) -> str:
    """Return a script that runs ``text`` in a shell whose environment carries a marker.

    The marker is there from the start of that shell's life, because ``/proc/PID/environ`` shows no later ``export``.
    With an empty token the text is returned behind a newline, so that one that begins with ``-`` is no option.
    """
    if not token:
        return "\n" + text
    return f"export {TOKEN_VARIABLE}={quote_word(token)}; exec sh -c {quote_word(chr(10) + text)}"
