"""Fixtures of the software phone; where it cannot be had the tests are skipped, and the summary says why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from software_phone.build import Image, build_image
from software_phone.fetch import PhoneUnavailable
from software_phone.phone import SoftwarePhone

_SKIPPED = "NO SOFTWARE PHONE"


@pytest.fixture(scope="session")
def software_phone_build() -> Image:
    """The built image of the phone, with its runners; downloads and compiles where nothing is cached."""
    try:
        return build_image()
    except PhoneUnavailable as reason:
        pytest.skip(f"{_SKIPPED}: {reason}")


@pytest.fixture(scope="session")
def software_phone(software_phone_build: Image) -> Iterator[SoftwarePhone]:
    """A started phone that the whole session shares; see `clean_phone`."""
    phone = SoftwarePhone(software_phone_build)
    try:
        phone.start()
    except PhoneUnavailable as reason:
        pytest.skip(f"{_SKIPPED}: {reason}")
    with phone:
        yield phone


@pytest.fixture
def clean_phone(software_phone: SoftwarePhone) -> SoftwarePhone:
    """The session's phone as it was at its start: no strays, no files, cool, charged, adbd running."""
    software_phone.reset()
    return software_phone


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that were skipped for want of a software phone, which ``-q`` would pass over."""
    skipped = [report for report in terminalreporter.getreports("skipped") if _SKIPPED in str(report.longrepr)]
    if skipped:
        reason = str(skipped[0].longrepr).partition(f"{_SKIPPED}: ")[2].rstrip("')")
        terminalreporter.write_line(f"WARNING: {len(skipped)} tests did not run: {reason}", yellow=True, bold=True)
