"""Manifests: what is damaged is seen, named, and passed over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hfcompress.training.checkpoints import MANIFEST, newest_intact, rotate, verify, write_manifest


def save(work: Path, step: int, manifest: bool = True) -> Path:
    checkpoint = work / f"checkpoint-{step}"
    (checkpoint / "nested").mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(bytes(range(256)) * step)
    (checkpoint / "optimizer.pt").write_bytes(b"moments" * step)
    (checkpoint / "nested" / "shard.bin").write_bytes(b"shard")
    if manifest:
        write_manifest(checkpoint)
    return checkpoint


def truncate(checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])


def flip_a_bit(checkpoint: Path) -> None:
    weights = checkpoint / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[7] ^= 1
    weights.write_bytes(bytes(content))


def remove_the_optimizer(checkpoint: Path) -> None:
    (checkpoint / "optimizer.pt").unlink()


def remove_a_nested_file(checkpoint: Path) -> None:
    (checkpoint / "nested" / "shard.bin").unlink()


def remove_the_manifest(checkpoint: Path) -> None:
    (checkpoint / MANIFEST).unlink()


def spoil_the_manifest(checkpoint: Path) -> None:
    (checkpoint / MANIFEST).write_text('{"files": {"model')


def empty_the_manifest(checkpoint: Path) -> None:
    (checkpoint / MANIFEST).write_text("[]")


DAMAGES = [
    (truncate, "model.safetensors has 767 bytes instead of 768"),
    (flip_a_bit, "model.safetensors differs from what was saved"),
    (remove_the_optimizer, "optimizer.pt is missing"),
    (remove_a_nested_file, "shard.bin is missing"),
    (remove_the_manifest, "its save did not finish"),
    (spoil_the_manifest, "cannot be read"),
    (empty_the_manifest, "cannot be read"),
]


def test_an_intact_checkpoint_has_no_fault(tmp_path: Path) -> None:
    checkpoint = save(tmp_path, 3)
    assert verify(checkpoint) is None
    files = json.loads((checkpoint / MANIFEST).read_text())["files"]
    assert set(files) == {"model.safetensors", "optimizer.pt", "nested/shard.bin"}
    assert files["optimizer.pt"]["size"] == 21


def test_a_manifest_is_written_anew_when_files_change(tmp_path: Path) -> None:
    checkpoint = save(tmp_path, 3)
    flip_a_bit(checkpoint)
    write_manifest(checkpoint)
    assert verify(checkpoint) is None


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    save(tmp_path, 1)
    previous, newest = save(tmp_path, 2), save(tmp_path, 3)
    damage(newest)
    found, skipped = newest_intact(tmp_path)
    assert found == previous
    (reason,) = skipped
    assert reason.startswith("checkpoint-3")
    assert message in reason


def test_steps_are_compared_as_numbers(tmp_path: Path) -> None:
    save(tmp_path, 9)
    newest = save(tmp_path, 10)
    assert newest_intact(tmp_path) == (newest, [])


def test_there_may_be_no_checkpoint_at_all(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "checkpoint-4").write_text("a file")
    assert newest_intact(tmp_path) == (None, [])
    assert newest_intact(tmp_path / "absent") == (None, [])


def test_rotation_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    checkpoints = {step: save(tmp_path, step) for step in (1, 2, 3, 4)}
    rotate(checkpoints[4], 2, best=checkpoints[1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-4"]


def test_rotation_without_a_limit_deletes_nothing(tmp_path: Path) -> None:
    checkpoints = [save(tmp_path, step) for step in (1, 2, 3)]
    rotate(checkpoints[-1], None)
    assert all(checkpoint.exists() for checkpoint in checkpoints)


def test_rotation_deletes_unfinished_checkpoints_before_good_ones(tmp_path: Path) -> None:
    good = save(tmp_path, 1)
    unfinished = save(tmp_path, 2, manifest=False)
    newest = save(tmp_path, 3)
    rotate(newest, 2)
    assert (good.exists(), unfinished.exists(), newest.exists()) == (True, False, True)


def test_rotation_deletes_what_a_run_left_behind_that_went_back(tmp_path: Path) -> None:
    good, newest, abandoned = save(tmp_path, 1), save(tmp_path, 2), save(tmp_path, 5)
    rotate(newest, 2)
    assert (good.exists(), newest.exists(), abandoned.exists()) == (True, True, False)
