"""How the weight of a part moves over training."""

from __future__ import annotations

import math

from hfcompress.recipe.objectives import Schedule


def weight_at(start: float, schedule: Schedule | None, step: int, steps: int) -> float:
    """The weight of a part at a step.

    Args:
        start: at the first step.
        schedule: where it goes; None: it stays.
        step: optimizer steps done, 0 at the first.
        steps: of the whole training; the last one has the weight `schedule.end`.
    """
    if schedule is None:
        return start
    way = min(1.0, step / max(1, steps - 1))
    share = way if schedule.shape == "linear" else (1 - math.cos(math.pi * way)) / 2
    return start + (schedule.end - start) * share
