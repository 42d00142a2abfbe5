"""The command line: the one place that may import upward. Commands import what they need when they run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

EXIT_INTERRUPTED = 130
_OPTIONAL_VALUE = "--resume"


def _with_empty_value(arguments: Sequence[str]) -> list[str]:
    """Give ``--resume`` an empty value where none follows, since its value is optional."""
    result: list[str] = []
    for place, argument in enumerate(arguments):
        result.append(argument)
        following = arguments[place + 1] if place + 1 < len(arguments) else "-"
        if argument == _OPTIONAL_VALUE and following.startswith("-"):
            result.append("")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; errors of `mnas.errors` are printed as one message.

    Args:
        arguments: Without the program's name; those of the process unless given.
    """
    given = _with_empty_value(sys.argv[1:] if arguments is None else arguments)
    is_debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    from mnas.cli.app import app
    from mnas.cli.output import say
    from mnas.errors import MnasError

    try:
        result = app(args=given, prog_name="mnas", standalone_mode=False)
        if result == EXIT_INTERRUPTED:  # typer's answer to Ctrl-C: it keeps the KeyboardInterrupt to itself
            return _interrupted()
        return result if isinstance(result, int) else 0
    except MnasError as error:
        if is_debug:
            raise
        say(f"mnas: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if is_debug:
            raise
        return _unexpected(error)


def _interrupted() -> int:
    sys.stderr.write(
        "\nmnas: interrupted; what was recorded stays; a search goes on with --resume, mnas runs show has a bench\n"
    )
    return EXIT_INTERRUPTED


def _unexpected(error: Exception) -> int:
    """Print an error of the command line parser, or one that nobody foresaw, in one line."""
    from mnas.cli.output import say

    show, code = getattr(error, "show", None), getattr(error, "exit_code", None)
    if callable(show) and isinstance(code, int):
        show()
        return code
    if type(error).__name__ == "Abort":
        return EXIT_INTERRUPTED
    text = str(error).splitlines()[0] if str(error) else ""
    say(f"mnas: {type(error).__name__}: {text} (run again with --debug for the traceback)")
    return 1


def run() -> None:
    """Entry point of the script ``mnas``."""
    sys.exit(main())
