"""The best of many candidates by noisy measurements, without measuring the bad ones often.

Successive halving (Jamieson and Talwalkar, *Non-stochastic Best Arm Identification and Hyperparameter Optimization*,
2016): everybody runs once, the better half goes on, with twice as many passes in each rung, so that each rung costs
about the same. Within a rung candidates take turns pass by pass, so that a slow minute hurts all alike. Where nothing
is noisy the best one wins; where no pass is slowed by more than a factor, what wins is at most that factor behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Generic, TypeVar

from hfcompress.errors import MeasurementError

Key = TypeVar("Key", bound=Hashable)

#: So many are left at the end, and run until each has been measured as often as this.
FINALISTS, _ENOUGH = 3, 12


@dataclass
class Samples(Generic[Key]):
    """What was measured.

    Attributes:
        seconds: candidate -> seconds of each of its passes.
        left_out: candidate -> why it was not measured, or not any longer.
        finalists: those that were not dropped.
    """

    seconds: dict[Key, list[float]] = field(default_factory=dict)
    left_out: dict[Key, str] = field(default_factory=dict)
    finalists: list[Key] = field(default_factory=list)

    def median(self, key: Key) -> float:
        """Median seconds of a candidate."""
        return median(self.seconds[key])

    @property
    def best(self) -> Key:
        """The fastest of the finalists.

        Raises:
            MeasurementError: nobody could be measured.
        """
        if not self.finalists:
            reasons = "".join(f"\n  {key}: {reason}" for key, reason in self.left_out.items())
            raise MeasurementError(f"no combination could be measured:{reasons}")
        return min(self.finalists, key=self.median)


#: Seconds of one pass of a candidate; raises `MeasurementError`.
Measure = Callable[[Key], float]


def race(
    candidates: Sequence[Key],
    measure: Measure[Key],
    spent: Callable[[], bool],
    dropped: Callable[[Key], None] = lambda _: None,
) -> Samples[Key]:
    """Successive halving.

    Args:
        candidates: the likely best ones first: where the budget does not even reach for one pass of each, the last ones
            are left out.
        measure: runs one pass. One that fails leaves its candidate out.
        spent: whether the budget is.
        dropped: told of each candidate that will not be measured again.
    """
    samples: Samples[Key] = Samples()
    alive, passes = list(candidates), 1
    while True:
        alive = _rung(alive, passes, measure, spent, samples)
        if not alive or spent() or _is_over(alive, samples):
            samples.finalists = alive
            return samples
        alive.sort(key=samples.median)
        keep = max(FINALISTS, (len(alive) + 1) // 2)
        for key in alive[keep:]:
            dropped(key)
        alive = alive[:keep]
        passes = min(len(samples.seconds[key]) for key in alive)


def _is_over(alive: Sequence[Key], samples: Samples[Key]) -> bool:
    return len(alive) <= FINALISTS and all(len(samples.seconds[key]) >= _ENOUGH for key in alive)


def every(candidates: Sequence[Key], measure: Measure[Key], passes: int) -> Samples[Key]:
    """Everybody, so many times each, in turns."""
    samples: Samples[Key] = Samples()
    samples.finalists = _rung(candidates, passes, measure, lambda: False, samples)
    return samples


def _rung(
    alive: Sequence[Key], passes: int, measure: Measure[Key], spent: Callable[[], bool], samples: Samples[Key]
) -> list[Key]:
    """So many passes of each; returns those that can go on."""
    for turn in range(passes):
        # There and back, so that nobody always follows the same one.
        for key in alive if turn % 2 == 0 else alive[::-1]:
            if key in samples.left_out:
                continue
            if spent():
                if key not in samples.seconds:
                    samples.left_out[key] = "the budget was spent before its turn came"
                continue
            try:
                seconds = measure(key)
            except MeasurementError as error:
                samples.left_out[key] = str(error)
            else:
                samples.seconds.setdefault(key, []).append(seconds)
    return [key for key in alive if key not in samples.left_out]
