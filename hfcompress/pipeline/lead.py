"""Rank 0's side of a run with several processes: what the others are to do, one order after the other.

Rank 0 runs the recipe; the others only train when they are told, and wait. So there is one plan, one decision whether a
stage is cached, and one writer of the run folder.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hfcompress.distributed.shared_folder import check_shared
from hfcompress.distributed.world import World
from hfcompress.errors import HfcompressError, StageError
from hfcompress.pipeline.folder import RunFolder

if TYPE_CHECKING:
    from hfcompress.pipeline.build import Made
    from hfcompress.results import Results

#: Seconds that rank 0 waits until the others have heard that the run is over; the messages may go with it.
_FAREWELL_S = 60.0
#: The same for a failure, of which those that are in the middle of training never hear: the launcher ends them.
_LAST_WORD_S = 2.0


@dataclass
class Lead:
    """Tells the other ranks what to do; where there are none it does nothing."""

    world: World = field(default_factory=World)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def begin(self, folder: RunFolder) -> None:
        """The recipe is sound on rank 0: the others may look at it too, and at the run folder.

        Raises:
            LaunchError: they see another run folder.
        """
        self._order("begin")
        check_shared(folder.root, self.world)

    @contextmanager
    def training(self, name: str, key: str, made: Mapping[str, Made]) -> Iterator[None]:
        """The others train the stage too, and have ended well when the block ends.

        Args:
            name: the stage.
            key: its key, which they compare with their own.
            made: what the stage may take.
        """
        number = self._order("train", stage=name, key=key, digests={known: one.digest for known, one in made.items()})
        yield
        self._wait(number)

    def end(self, results: Results) -> None:
        """The run is over."""
        self._wait(self._order("end", results=results.model_dump(mode="json", by_alias=True)), _FAREWELL_S)

    def fail(self, error: BaseException) -> None:
        """The run has failed, and rank 0 says why: the others end with the same code and say nothing."""
        code = error.exit_code if isinstance(error, HfcompressError) else 70
        self._wait(self._order("fail", code=code), _LAST_WORD_S)

    def _wait(self, number: int, within_s: float = float("inf")) -> None:
        deadline = time.monotonic() + within_s
        for rank in self.world.others:
            self.world.hear(f"done/{number}/{rank}", deadline - time.monotonic())

    def _order(self, do: str, **details: Any) -> int:
        number = next(self._numbers)
        if self.world.size > 1:
            self.world.tell(f"order/{number}", json.dumps({"do": do, **details}))
        return number


@contextmanager
def leading(world: World) -> Iterator[Lead]:
    """Rank 0's work; an error in it ends the waiting of the others."""
    lead = Lead(world)
    try:
        yield lead
    except Exception as error:
        with suppress(StageError):  # they may be gone themselves; what is said is why this one failed
            lead.fail(error)
        raise
