"""Whether the processes that run are those that were asked for.

accelerate falls back in silence (tried with 1.15): `--cpu --num_processes 2` and `distributed_type: MULTI_CPU` start
one process; `MULTI_GPU` with `use_cpu` starts two that each believe they are alone, unless `ACCELERATE_USE_CPU` is set;
an FSDP config on a CPU gives plain data-parallel training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hfcompress.errors import LaunchError

_CPU_CURE = "start it with `--accelerate cpu2`, or with `torchrun --nproc_per_node 2`"


@dataclass(frozen=True)
class Asked:
    """What the launcher was asked for.

    Attributes:
        processes: over all machines.
        rank: which of them this one is to be.
        kind: a `distributed_type` of accelerate; None where the launcher leaves it open, as torchrun does.
    """

    processes: int
    rank: int
    kind: str | None


@dataclass(frozen=True)
class Obtained:
    """What `accelerate.PartialState` says there is; the fields are those of `Asked`."""

    processes: int
    rank: int
    kind: str


def asked_by(environ: Mapping[str, str]) -> Asked:
    """What a launcher's environment asks for."""
    return Asked(int(environ["WORLD_SIZE"]), int(environ["RANK"]), _kind(environ))


def _kind(environ: Mapping[str, str]) -> str | None:
    def says(name: str) -> bool:
        return environ.get(name, "").lower() == "true"

    if says("ACCELERATE_USE_FSDP"):
        return "FSDP"
    if says("ACCELERATE_USE_DEEPSPEED"):
        return "DEEPSPEED"
    if says("ACCELERATE_USE_CPU"):
        return "MULTI_CPU"
    # Set by each of accelerate's launchers; of those that set WORLD_SIZE too, the one that is left is for GPUs.
    return "MULTI_GPU" if "ACCELERATE_DYNAMO_BACKEND" in environ else None


def check_not_left_alone(environ: Mapping[str, str]) -> None:
    """Refuse to be the one process of a launch that asked for more.

    accelerate's launcher of single processes sets MASTER_ADDR when more than one was asked for, and starts one.

    Raises:
        LaunchError: says the cure.
    """
    if "WORLD_SIZE" not in environ and "MASTER_ADDR" in environ and "ACCELERATE_DYNAMO_BACKEND" in environ:
        raise LaunchError(
            "accelerate was asked for more than one process and started one: `--cpu` and `distributed_type: MULTI_CPU` "
            f"do that without mpirun; {_CPU_CURE}; or unset MASTER_ADDR if one process is what you want"
        )


def check_obtained(asked: Asked, obtained: Obtained) -> None:
    """Compare.

    Raises:
        LaunchError: what was asked, what came, and the cure.
    """
    if (obtained.processes, obtained.rank) != (asked.processes, asked.rank):
        raise LaunchError(
            f"{asked.processes} processes were asked for, and this one, rank {asked.rank}, finds itself rank "
            f"{obtained.rank} of {obtained.processes}: each would train on its own; for a CPU {_CPU_CURE}"
        )
    if asked.kind is None or obtained.kind == asked.kind:
        return
    if asked.kind == "MULTI_GPU" and obtained.kind.startswith("MULTI_") and obtained.kind != "MULTI_CPU":
        return  # NPUs, XPUs and the like, which accelerate launches as it does GPUs
    raise LaunchError(f"{asked.kind} was asked for, and accelerate gives {obtained.kind}: {_cure(asked, obtained)}")


def _cure(asked: Asked, obtained: Obtained) -> str:
    if obtained.kind == "MULTI_CPU":
        return (
            "torch sees no GPU here; install a torch that does, or train on the CPU on purpose, with `--accelerate "
            "cpu2`, or ACCELERATE_USE_CPU=true before `accelerate launch` with `distributed_type: MULTI_GPU`"
        )
    return f"choose an accelerate config of `distributed_type: {obtained.kind}`, or a machine that has {asked.kind}"
