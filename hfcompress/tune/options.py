"""How long and how far `tune` searches."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt

from hfcompress.recipe.schema import Schema


class TuneOptions(Schema):
    """The bounds of a search.

    Attributes:
        threads: cores that all streams together may use; default: all that this process may use.
        rows: of the stream, taken from the data by the seed; default: 512, or 128 images, or as many as the budget
            allows.
        budget_s: seconds after which the search ends. The end of a pass, and the last comparison with the default
            session, may take it some seconds further.
        exhaustive: try every combination `passes` times, however long that takes.
        passes: of each combination of an exhaustive search, and of the last comparison.
        seed: of what draws.
    """

    threads: Annotated[int, Field(ge=1, le=4096)] | None = None
    rows: PositiveInt | None = None
    budget_s: Annotated[float, Field(gt=0)] = 120.0
    exhaustive: bool = False
    passes: Annotated[int, Field(ge=3)] = 7
    seed: int = 0
