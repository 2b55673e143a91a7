"""What is tried: runtimes, threads, streams, and batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hfcompress.errors import InputError
from hfcompress.runtimes.batching import Batching
from hfcompress.runtimes.installed import RUNTIMES, runtimes_here
from hfcompress.runtimes.settings import Settings

#: One row a call, as it comes.
SINGLE = Batching(rows=1, sort=False)
#: What a session does that nobody has tuned: batches of 32 in the order of arrival.
UNTUNED = Batching(rows=32, sort=False)
_ARRIVAL_ROWS = (1, 8, 32)
_SORTED_ROWS = (8, 16, 32, 64)
_TOKENS = (256, 512, 1024, 2048, 4096)
#: Most rows of a batch that a token budget bounds.
_MOST_ROWS = 256
#: Rows of batches where all rows are of one size, such as images.
_EQUAL_ROWS = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True)
class Candidate:
    """One combination."""

    settings: Settings
    batching: Batching

    def __str__(self) -> str:
        settings = self.settings
        return f"{settings.runtime}, {settings.threads} threads x {settings.streams} streams; {self.batching}"


def installed_runtimes(format: str, made_for: str | None = None) -> tuple[str, ...]:
    """The runtimes that take a format and are installed, its own first.

    Args:
        format: of the artifact.
        made_for: the runtime that the artifact itself names, which then is its own.

    Raises:
        InputError: no runtime takes it, or none that does is installed.
    """
    if format not in RUNTIMES:
        raise InputError(f"no runtime takes the format `{format}`; formats are {', '.join(RUNTIMES)}")
    if not runtimes_here(format):
        needed = " or ".join(dict.fromkeys(RUNTIMES[format].values()))
        raise InputError(f"nothing that runs {format} is installed; install {needed}")
    return runtimes_here(format, made_for)


def settings_for(runtimes: tuple[str, ...], cores: int) -> list[Settings]:
    """Every runtime with every number of threads and streams that fit the cores together.

    Numbers are powers of two, and those that use all cores; what uses most cores comes first.
    """
    shapes = [(threads, streams) for threads in _steps(cores) for streams in _steps(cores // threads)]
    shapes.sort(key=lambda shape: (-shape[0] * shape[1], shape[0]))
    return [Settings(runtime, threads, streams) for runtime in runtimes for threads, streams in shapes]


def _steps(most: int) -> list[int]:
    return sorted({*(2**power for power in range(most.bit_length())), most})


def default_settings(runtimes: tuple[str, ...], cores: int) -> Settings:
    """What a session is that nobody has tuned: the format's own runtime, all cores for one call."""
    return Settings(runtimes[0], cores, 1)


def batchings_for(lengths: np.ndarray) -> list[Batching]:
    """Ways to batch rows of these lengths, the likely best ones first; of ways that give the same batches, one.

    Args:
        lengths: tokens of each row, in the order of arrival; all equal where rows are of one size.
    """
    distinct: dict[tuple[bytes, ...], Batching] = {}
    for batching in _ways(lengths):
        groups = tuple(np.sort(group).tobytes() for group in batching.groups(lengths))
        distinct.setdefault(groups, batching)
    return list(dict.fromkeys([*distinct.values(), UNTUNED]))


def _ways(lengths: np.ndarray) -> Iterator[Batching]:
    longest = int(lengths.max())
    if int(lengths.min()) == longest:
        yield from (Batching(rows, sort=False) for rows in _EQUAL_ROWS)
        return
    yield from (Batching(_MOST_ROWS, tokens) for tokens in _TOKENS if tokens >= longest)
    yield from (Batching(rows) for rows in _SORTED_ROWS)
    yield from (Batching(rows, sort=False) for rows in _ARRIVAL_ROWS)
