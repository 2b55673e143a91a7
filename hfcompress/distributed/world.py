"""The processes of one job: which one this is, and what they tell each other outside of training.

Ranks wait for each other through the key-value store that torch's launcher brings along, and not by collectives: those
have a time-out (10 or 30 minutes), which a long export on rank 0 would run into.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from hfcompress.distributed.check import Obtained, asked_by, check_not_left_alone, check_obtained
from hfcompress.errors import LaunchError, StageError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

#: What Trainer gives its collectives by default (`ddp_timeout`); the process group is made before Trainer is.
_COLLECTIVE_TIMEOUT = timedelta(minutes=30)
#: Seconds between two looks into the store: short at first, since most answers are near.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.5

_conversations = itertools.count()


def rank(environ: Mapping[str, str] = os.environ) -> int:
    """This process's number, from 0; rank 0 takes the lock, writes the run folder and speaks."""
    return int(environ.get("RANK", "0")) if world_size(environ) > 1 else 0


def world_size(environ: Mapping[str, str] = os.environ) -> int:
    """The number of processes that the launcher says it started."""
    return int(environ.get("WORLD_SIZE", "1"))


def machine(environ: Mapping[str, str] = os.environ) -> int:
    """The number of this process's machine, from 0."""
    if "GROUP_RANK" in environ:
        return int(environ["GROUP_RANK"])
    return rank(environ) // int(environ.get("LOCAL_WORLD_SIZE", world_size(environ)))


@dataclass(frozen=True)
class World:
    """The processes of a job, seen from one of them.

    Attributes:
        rank: this process, from 0.
        size: how many there are.
        store: where they leave messages; None where there is one process.
    """

    rank: int = 0
    size: int = 1
    store: Store | None = None

    @property
    def others(self) -> range:
        """Every rank but 0."""
        return range(1, self.size)

    def tell(self, name: str, text: str) -> None:
        """Leave a message under a name that is used once."""
        with _connected():
            self._messages.set(name, text)

    def peek(self, name: str) -> str | None:
        """The message under a name, or None when there is none yet."""
        with _connected():
            return self._messages.get(name).decode() if self._messages.check([name]) else None

    def tell_first(self, name: str, text: str) -> str:
        """Leave a message unless somebody was first; gives the one that stands."""
        with _connected():
            return self._messages.compare_set(name, "", text).decode()

    def hear(self, name: str, within_s: float = float("inf")) -> str | None:
        """Wait for a message, by default for ever: if its sender dies, the launcher ends this process too.

        Signals are handled while it waits. None when the time is over.

        Raises:
            StageError: the process that keeps the messages is gone.
        """
        deadline, pause = time.monotonic() + within_s, _FIRST_PAUSE_S
        while (found := self.peek(name)) is None:
            if time.monotonic() > deadline:
                return None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        return found

    def from_main(self, name: str, text: Callable[[], str]) -> str:
        """What rank 0 finds out, for all; the others wait for it."""
        if self.size == 1:
            return text()
        if self.rank == 0:
            self.tell(name, text())
        return str(self.hear(name))

    @property
    def _messages(self) -> Store:
        if self.store is None:
            raise TypeError("one process alone has nobody to talk to; check `size` first")
        return self.store


@contextmanager
def _connected() -> Iterator[None]:
    """Turns the end of the store's server into one clear error."""
    try:
        yield
    except RuntimeError as error:  # DistNetworkError and DistStoreError are that
        raise StageError("another process of this job has ended; its own message says why") from error


def join() -> World:
    """The world of this process. Every rank has to call it equally often: each call begins a conversation of its own.

    Collectives of the process group get the 30 minutes that Trainer gives them by default.

    Raises:
        LaunchError: the processes that run are not those that were asked for.
    """
    check_not_left_alone(os.environ)
    size = world_size()
    if size == 1:
        return World()
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise LaunchError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set: no launcher started this process; unset "
            "WORLD_SIZE, or start with `--accelerate NAME`, `accelerate launch` or `torchrun`"
        )
    check_obtained(asked_by(os.environ), _obtained())
    return World(rank(), size, _store(next(_conversations)))


def leave() -> None:
    """Take the process group down in order, when everything went well; torch warns of a group that was left behind."""
    if world_size() == 1:
        return
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def _obtained() -> Obtained:
    import torch
    from accelerate import PartialState

    # The same choice as the training stages make: GPUs where torch sees any, unless the CPU was asked for.
    cpu = not torch.accelerator.is_available() or os.environ.get("ACCELERATE_USE_CPU", "").lower() == "true"
    timeout = {} if cpu else {"timeout": _COLLECTIVE_TIMEOUT}
    state = PartialState(cpu=cpu, **timeout)
    kind = state.distributed_type.value
    if not cpu and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        kind = "FSDP"  # what `AcceleratorState` makes of every kind of accelerator, and of no CPU
    return Obtained(state.num_processes, state.process_index, kind)


def _store(conversation: int) -> Store:
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://", timeout=_COLLECTIVE_TIMEOUT))
    return PrefixStore(f"hfcompress/{conversation}", store)
