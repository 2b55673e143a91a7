"""Whether every process sees the same run folder; on several machines it has to be a shared one."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from hfcompress.distributed.world import World, machine
from hfcompress.errors import LaunchError

#: Seconds that a network file system may take to show a new file to another machine.
_PATIENCE_S = 30.0
#: Beyond that, for the answers to come in.
_MARGIN_S = 30.0


def check_shared(folder: Path, world: World, patience_s: float = _PATIENCE_S) -> None:
    """Rank 0 writes a file and asks every other rank for what is in it; they answer with `show_shared`.

    Raises:
        LaunchError: names the ranks and machines that do not see it.
    """
    if world.size == 1:
        return
    name, secret = f".seen-{secrets.token_hex(8)}", secrets.token_hex(16)
    (folder / name).write_text(secret, encoding="utf-8")
    try:
        world.tell("shared-folder", name)
        answers = {rank: world.hear(f"shared-folder/{rank}", patience_s + _MARGIN_S) for rank in world.others}
    finally:
        (folder / name).unlink()
    blind = [f"rank {rank} ({_where(answer)})" for rank, answer in answers.items() if _seen(answer) != secret]
    if blind:
        raise LaunchError(
            f"the run folder {folder} is not the same for all processes: {', '.join(blind)} cannot see what rank 0 "
            "writes there; put it on a file system that all machines share, and name it with --out"
        )


def show_shared(folder: Path, world: World, patience_s: float = _PATIENCE_S) -> None:
    """Another rank's side: answer with this machine's number and what is in the file that rank 0 wrote."""
    name = world.hear("shared-folder")
    path, deadline = folder / str(name), time.monotonic() + patience_s
    while not _listed(path) and time.monotonic() < deadline:
        time.sleep(0.2)
    seen = path.read_text(encoding="utf-8") if path.is_file() else ""
    world.tell(f"shared-folder/{world.rank}", f"{machine()} {seen}")


def _listed(path: Path) -> bool:
    # A listing makes a network file system ask its server; it may know by heart that a file is missing.
    return path.parent.is_dir() and path.name in os.listdir(path.parent)


def _where(answer: str | None) -> str:
    return "no answer" if answer is None else f"machine {answer.partition(' ')[0]}"


def _seen(answer: str | None) -> str:
    return (answer or "").partition(" ")[2]
