"""What was asked for and what came: every way in which accelerate falls back in silence is an error with its cure."""

from __future__ import annotations

import pytest

from hfcompress.distributed.check import Asked, Obtained, asked_by, check_not_left_alone, check_obtained
from hfcompress.distributed.world import join, machine, rank, world_size
from hfcompress.errors import LaunchError

RANK_ONE = {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}
BY_ACCELERATE = {"ACCELERATE_DYNAMO_BACKEND": "NO", "ACCELERATE_MIXED_PRECISION": "no"}


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({}, None),
        (BY_ACCELERATE, "MULTI_GPU"),
        (BY_ACCELERATE | {"ACCELERATE_USE_CPU": "true"}, "MULTI_CPU"),
        (BY_ACCELERATE | {"ACCELERATE_USE_FSDP": "true"}, "FSDP"),
        (BY_ACCELERATE | {"ACCELERATE_USE_FSDP": "true", "ACCELERATE_USE_CPU": "true"}, "FSDP"),
        (BY_ACCELERATE | {"ACCELERATE_USE_DEEPSPEED": "true"}, "DEEPSPEED"),
    ],
)
def test_the_launchers_environment_says_what_was_asked_for(environ: dict[str, str], kind: str | None) -> None:
    assert asked_by(RANK_ONE | environ) == Asked(2, 1, kind)


@pytest.mark.parametrize(
    ("asked", "obtained"),
    [
        ("MULTI_GPU", "MULTI_GPU"),
        ("MULTI_GPU", "MULTI_NPU"),
        ("MULTI_CPU", "MULTI_CPU"),
        ("FSDP", "FSDP"),
        ("DEEPSPEED", "DEEPSPEED"),
        (None, "MULTI_CPU"),
        (None, "MULTI_GPU"),
    ],
)
def test_what_was_asked_for_is_fine(asked: str | None, obtained: str) -> None:
    check_obtained(Asked(2, 1, asked), Obtained(2, 1, obtained))


@pytest.mark.parametrize(
    ("obtained", "kind", "says"),
    [
        (
            Obtained(1, 0, "NO"),
            "MULTI_GPU",
            "2 processes were asked for, and this one, rank 1, finds itself rank 0",
        ),
        (Obtained(2, 1, "MULTI_CPU"), "FSDP", "FSDP was asked for, and accelerate gives MULTI_CPU: torch sees no GPU"),
        (Obtained(2, 1, "MULTI_CPU"), "MULTI_GPU", "ACCELERATE_USE_CPU=true before `accelerate launch`"),
        (Obtained(2, 1, "MULTI_GPU"), "MULTI_CPU", "MULTI_CPU was asked for, and accelerate gives MULTI_GPU"),
        (Obtained(2, 1, "MULTI_GPU"), "FSDP", "choose an accelerate config of `distributed_type: MULTI_GPU`"),
    ],
)
def test_a_silent_fallback_is_an_error(obtained: Obtained, kind: str, says: str) -> None:
    with pytest.raises(LaunchError) as refused:
        check_obtained(Asked(2, 1, kind), obtained)
    assert says in str(refused.value)


def test_one_process_where_more_were_asked_for_is_an_error() -> None:
    with pytest.raises(LaunchError, match="asked for more than one process and started one"):
        check_not_left_alone(BY_ACCELERATE | {"MASTER_ADDR": "127.0.0.1"})
    check_not_left_alone(BY_ACCELERATE)
    check_not_left_alone({"MASTER_ADDR": "127.0.0.1"})
    check_not_left_alone(BY_ACCELERATE | RANK_ONE | {"MASTER_ADDR": "127.0.0.1"})


def test_a_world_without_a_launcher_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert join().size == 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(LaunchError, match=r"WORLD_SIZE is 2, but RANK, .* not set: no launcher started this process"):
        join()


def test_rank_and_machine_are_those_of_torchrun() -> None:
    assert (rank({}), world_size({}), machine({})) == (0, 1, 0)
    environ = {"WORLD_SIZE": "8", "RANK": "5", "LOCAL_WORLD_SIZE": "4"}
    assert (rank(environ), world_size(environ), machine(environ)) == (5, 8, 1)
    assert machine(environ | {"GROUP_RANK": "0"}) == 0
