"""Recordings by the thousand on many machines: a Ray Data pipeline from a listing of recordings to a Parquet dataset.

`whimbrel.ray.predict(recordings, model, output)` runs on the cluster that `ray.init()` connected to, or on this machine alone.
`whimbrel.ray.ledger(output)` says what became of each recording. docs/scale.md has the layout, the limits and the arithmetic.
Needs the packages `ray[data]` and `pyarrow`.
"""

from whimbrel.ray.job import predict
from whimbrel.ray.output import ledger

__all__ = ["ledger", "predict"]
