"""Loads an ONNX file from stdin and runs it once: a process of its own, which may die of it or never end.

Run by `search.training.teacher` as ``python onnx_child.py CHANNELS PX SECONDS``, after which it ends in any case. Exit
status 0: it was loaded; 1: it was not, and stdout says why. An input that does not fit is no matter of this process.
"""

from __future__ import annotations

import contextlib
import signal
import sys


def main(channels: int, px: int, seconds: int) -> int:
    """Load, run, and return the exit status.

    Args:
        channels: Of an image.
        px: Side of an image where the file leaves it open.
        seconds: Until the system ends this process, should its parent be gone by then.
    """
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)
    import numpy as np
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(sys.stdin.buffer.read(), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own errors have no common class
        sys.stdout.write(str(error).strip().partition("\n")[0] or type(error).__name__)
        return 1
    with contextlib.suppress(Exception):  # as above; the caller tells of it when it runs the file itself
        first, *_ = session.get_inputs()
        told = zip(first.shape, (2, channels, px, px), strict=True)
        shape = [size if isinstance(size, int) else usual for size, usual in told]
        session.run(None, {first.name: np.zeros(shape, np.float32)})
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*map(int, sys.argv[1:])))
