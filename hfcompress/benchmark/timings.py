"""Raw samples of one artifact: what is kept, so that figures can be computed again without timing again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

#: Rows and tokens of one cell of the latency grid; no tokens for images.
Shape = tuple[int, int | None]


@dataclass(frozen=True)
class Timings:
    """What a session measured of one artifact.

    Attributes:
        latency_s: cell -> seconds of each call, in the order of the calls.
        stream_s: seconds of each pass over the stream; pass i of every artifact of a session ran in the same round.
        stream_rows: rows of one pass.
        peak_memory_mb: peak resident memory of the worker after it loaded the artifact and ran the stream, 10^6 bytes.
        runtime: as `Runtime.name` has it.
        threads: cores of one call.
    """

    latency_s: dict[Shape, list[float]]
    stream_s: list[float]
    stream_rows: int
    peak_memory_mb: float
    runtime: str
    threads: int

    def to_json(self) -> dict[str, Any]:
        """As JSON has it: cells as a list."""
        cells = [
            {"batch": batch, "sequence": sequence, "seconds": list(seconds)}
            for (batch, sequence), seconds in self.latency_s.items()
        ]
        return {
            "latency": cells,
            "stream_s": list(self.stream_s),
            "stream_rows": self.stream_rows,
            "peak_memory_mb": self.peak_memory_mb,
            "runtime": self.runtime,
            "threads": self.threads,
        }

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        rest = {name: value for name, value in kept.items() if name != "latency"}
        latency = {(cell["batch"], cell["sequence"]): cell["seconds"] for cell in kept["latency"]}
        return cls(latency_s=latency, **rest)
