"""A study from a dictionary: searched, read, and what came out of it.

    MNAS_OUT=mnas-out python docs/examples/api_study.py

Short on purpose, and on digits, which cannot rank networks: it shows the way, not a result.
"""

# %% Search
import logging

from search.api import Study

logging.basicConfig(level="WARNING", format="%(message)s")  # INFO tells of every generation
study = Study.run(
    {
        "data": "digits",
        "budget": 4,
        "population": 4,
        "oversample": 4,
        "training": "small",
        "finalists": 2,
        "finalist_seeds": 1,
        "lut_mode": "fast",
        "lut_rounds": 3,
        "lut_calibration": 4,
        "lut_validation": 4,
    }
)
study  # in a notebook: its front

# %% The finalists, fastest first, measured on the device
for row in study.front():
    mark = "front" if row["recommended"] else ""
    print(f"{row['network']} {row['measured_ms']:.4f} ms, top-1 {100 * (1 - row['val_error']):.1f} % {mark}")

# %% Every network whose accuracy was paid for, and how the front grew
print(f"{len(study.candidates())} candidates, {len(study.generations())} generations")

# %% Read it again: from the store of the output folder
again = Study.open(study.study_id)
assert [row["arch_id"] for row in again.front()] == [row["arch_id"] for row in study.front()]
for row in Study.list():
    print(row["study_id"], row["status"])
