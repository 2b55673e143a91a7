"""`results.json`: what a run measured, as a public, versioned format.

The field docstrings are the format's documentation; `docs/results.md` is for readers who do not read Python. A reader
of schema 1 may ignore keys that it does not know: later versions of schema 1 only add keys.
"""

from __future__ import annotations

from hfcompress.results.artifact import ArtifactResult
from hfcompress.results.fallback import FallbackResult, FallbackStep, RankedLayer
from hfcompress.results.file import SCHEMA, read_results, write_results
from hfcompress.results.flips import ClassResult, Flips
from hfcompress.results.gates import NOT_SLOWER, GateResult
from hfcompress.results.measurement import Agreement, Measurement
from hfcompress.results.records import Difference, Interval, Record
from hfcompress.results.run import Results, StageSeconds
from hfcompress.results.sources import DataSource, SourceModel, SplitData
from hfcompress.results.speed import Latency, Speed

__all__ = [
    "NOT_SLOWER",
    "SCHEMA",
    "Agreement",
    "ArtifactResult",
    "ClassResult",
    "DataSource",
    "Difference",
    "FallbackResult",
    "FallbackStep",
    "Flips",
    "GateResult",
    "Interval",
    "Latency",
    "Measurement",
    "RankedLayer",
    "Record",
    "Results",
    "SourceModel",
    "Speed",
    "SplitData",
    "StageSeconds",
    "read_results",
    "write_results",
]
