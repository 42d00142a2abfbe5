"""Two networks beside each other on this machine, as rows, as a data frame and as a figure.

    MNAS_OUT=mnas-out python docs/examples/api_bench.py

The lines that begin with ``# %%`` make it a notebook for editors that know them.
"""

# %% Measure
from mnas.errors import PackageError
from search.api import Bench

bench = Bench("host:ort")
report = bench.run("mobilenetv3-small@64", "mobilenetv2@64", rounds=5, seed=0)
report  # in a notebook: a table

# %% Numbers: latencies in milliseconds, and how they compare within the session
for row in report.rows():
    print(f"{row['model']:22} {row['latency_ms']:.3f} ms [{row['low_ms']:.3f}, {row['high_ms']:.3f}]")
slower = report.run.models[1]
assert slower.relative is not None
print(f"{slower.label} takes {slower.relative.ratio:.2f} x as long as {slower.relative.to}")

# %% Runs are kept: this one is found again
again = bench.read(report.run.run_id)
assert again.latency_ms == report.latency_ms
print(f"{len(bench.runs())} runs in {bench.out}")

# %% pandas and plotly, where they are (pip install 'mnas[viz]')
try:
    print(report.to_pandas()[["model", "latency_ms", "macs"]].to_string(index=False))
    figure = report.plot()
    print(f"a figure of {len(figure.data)} trace")
except PackageError as error:
    print(error)
