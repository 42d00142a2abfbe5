"""Start a software phone to try the tool on: ``python tests/software_phone/start.py [--port P]``; Ctrl-C ends it.

It is a real adbd with a shell on this machine's processor: its times are this machine's, not a phone's.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from software_phone.fetch import PhoneUnavailable
from software_phone.phone import SoftwarePhone
from software_phone.state import COOL

_TOLD = """\
A software phone is ready (ro.serialno {serial}, marked as simulated: its times are this machine's).

    adb connect {address}                  {again}
    mnas devices list
    mnas runner add {programs}/benchmark_model --name tflite
    mnas bench MODEL.tflite --device adb:{address}/tflite

Beside it lie litert_benchmark_model (--name litert) and onnxruntime_perf_test (--name ortperf, for MODEL.onnx).
Change what it tells of itself while it runs: the files below {state}
(thermal/status, thermal/temperatures, battery/level, battery/temperature, settings/global/low_power ...).
{warming}Ctrl-C ends it; nothing of it is left.
"""
_WARMING = "In {seconds:.0f} s it will be hot (thermal status 2), and cool again after as long.\n"


def main() -> int:
    """Start one, tell how to use it, and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; any free one by default")
    parser.add_argument("--rooted", action="store_true", help="its shell is root")
    parser.add_argument("--transports", type=int, default=1, help="over how many ports it is reached")
    parser.add_argument("--heat-after", type=float, metavar="S", help="become hot after S seconds, cool after as long")
    options = parser.parse_args()
    # TERM and HUP end it as Ctrl-C does.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        transports = max(1, options.transports)
        with SoftwarePhone(rooted=options.rooted, transports=transports, ports=[options.port]) as phone:
            _tell(phone, options.heat_after)
            signal.pause()
    except PhoneUnavailable as reason:
        print(f"no software phone: {reason}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"port {options.port} cannot be had: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _tell(phone: SoftwarePhone, heat_after_s: float | None) -> None:
    warming = ""
    if heat_after_s is not None:
        hot = {name: celsius + 12.0 for name, celsius in COOL.items()}
        phone.play(
            [(heat_after_s, lambda: phone.set_thermal(2, hot)), (2 * heat_after_s, lambda: phone.set_thermal(0, COOL))]
        )
        warming = _WARMING.format(seconds=heat_after_s)
    again = " ".join(f"adb connect {address}" for address in phone.addresses[1:])
    words = {"programs": phone.image.runners["benchmark_model"].parent, "state": phone.folder / "state"}
    text = _TOLD.format(serial=phone.serial, address=phone.address, again=again, warming=warming, **words)
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
