"""Entry point of ``python -m mnas``."""

from mnas.cli import run

run()
