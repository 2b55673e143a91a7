"""SIGTERM during training: the running step is ended, a checkpoint saved, and only then the process ends."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState

from hfcompress.distributed.signals import handling
from hfcompress.distributed.world import World
from hfcompress.errors import Terminated

logger = logging.getLogger(__name__)

_STOP = "stop after step"


class StopOnRequest(TrainerCallback):  # type: ignore[misc]  # Transformers is untyped
    """Saves and stops at the end of a step, the same one in all processes, once any of them was asked to.

    The processes agree through the store of their world, so that no device is waited for. The one that is asked names
    the step after the one that it has just ended. Nobody can have ended that one yet, since it takes everybody's
    gradients, and everybody looks at the end of each step: all of them see the name in time.

    Attributes:
        asked: whether this process was asked to stop.
        stopped: the step after which training stopped, or None.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked = False
        self.stopped: int | None = None

    def ask(self, _signal: int = 0, _frame: FrameType | None = None) -> None:
        """Ask; more than once is as good as once. A signal handler: nothing but a flag is set."""
        self.asked = True

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """`state.global_step` steps are done."""
        if state.global_step >= self._last_step(state.global_step):
            self.stopped = state.global_step
            control.should_save = control.should_training_stop = True

    def _last_step(self, done: int) -> float:
        if self.world.size == 1:
            return done if self.asked else float("inf")
        named = self.world.peek(_STOP)
        if named is None and self.asked:
            named = self.world.tell_first(_STOP, str(done + 1))
        return float("inf") if named is None else int(named)


@contextmanager
def stopping(trainer: Trainer, world: World) -> Iterator[None]:
    """Around `trainer.train()`: SIGTERM lets the running step end and saves a checkpoint.

    Raises:
        Terminated: at the end of the block, when SIGTERM came within it.
    """
    stop = StopOnRequest(world)
    trainer.add_callback(stop)
    try:
        with handling(signal.SIGTERM, stop.ask):
            yield
    finally:
        trainer.remove_callback(stop)
    if stop.stopped is not None:
        raise Terminated(f"a checkpoint of step {stop.stopped} of {trainer.state.max_steps} was saved")
    if stop.asked:  # after the last step
        raise Terminated
