"""A latency table of a small space on this machine: built, looked up, asked for predictions.

    MNAS_OUT=mnas-out python docs/examples/api_table.py

Short on purpose; a table to rely on takes the usual settings: leave mode, rounds, calibration and validation out.
"""

# %% Build it, or find it built
import numpy as np

from search.api import LatencyTable

table = LatencyTable.build("mobilenetv3", "digits", mode="fast", rounds=3, calibration=4, validation=4)
table  # in a notebook: its entries
print(f"{table.lut_id}: {len(table.rows())} entries")

# %% Look entries up by part of their label
for row in list(table.lookup("stem"))[:3]:
    print(f"{row['segment'][:60]:60} {row['latency_ms']:.4f} ms")

# %% Predict networks of the space
space = table.space
assert space is not None
rng = np.random.default_rng(0)
genomes = [space.sample(rng) for _ in range(5)]
for row in table.predict(*genomes):
    print(f"{row['network']} {row['latency_ms']:.4f} ms [{row['low_ms']:.4f}, {row['high_ms']:.4f}]")

# %% A million times faster: whole populations by genome, without architectures
latencies_ms = table.table.estimate_genomes(space, np.array(genomes))
print(f"fastest of {len(genomes)}: {latencies_ms.min():.4f} ms")

# %% How good it is: whole networks that were measured beside it
for row in table.networks():
    print(f"{row['purpose']:12} predicted {row['predicted_ms']:.4f}, measured {row['measured_ms']:.4f} ms")

# %% Later, or in another process: open it again
assert LatencyTable.open(table.lut_id).lut_id == table.lut_id
