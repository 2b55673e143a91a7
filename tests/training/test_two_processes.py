"""Two processes with batches of 8 train as one with batches of 16, and resume exactly."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hfcompress.training.checkpoints import MANIFEST, verify
from tests.training import two_processes, two_processes_qat

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def run_both(folder: Path, script: str = "two_processes.py") -> list[dict[str, Any]]:
    """Run a script as ranks 0 and 1 of a gloo world, and give what each reports."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "PYTHONPATH": str(ROOT)}
    processes = []
    for rank in ("0", "1"):
        environment = os.environ | common | {"RANK": rank, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(HERE / script), str(folder)]
        with (folder / f"rank{rank}.log").open("w") as log:
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
    try:
        codes = [process.wait(timeout=200) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert codes == [0, 0], "\n".join((folder / f"rank{rank}.log").read_text() for rank in (0, 1))
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.slow
def test_two_processes_train_as_one_with_batches_twice_as_large(tmp_path: Path) -> None:
    first, second = run_both(tmp_path)
    assert (first["world"], second["world"]) == (2, 2)

    one = two_processes.training(tmp_path / "one", 16)
    one.train()
    expected = two_processes.history(one)
    assert len(expected["loss_kl"]) == 10
    for part, values in expected.items():
        tolerance = {"abs": 2e-4} if part == "loss" else {"rel": 1e-4}
        assert first["history"][part] == pytest.approx(values, **tolerance)
        assert second["history"][part] == first["history"][part]
    alone = {name: value.detach() for name, value in one.model.state_dict().items()}
    together = two_processes.tiny_distilbert().from_pretrained(tmp_path / "whole" / "checkpoint-10").state_dict()
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)

    for name, losses in first["inside"].items():
        assert losses == pytest.approx(two_processes.looking_inside(tmp_path / name, 16, name), rel=1e-3, abs=2e-4)

    # Cut in the middle of the second epoch, where the order of the first would give other weights.
    assert (first["checkpoint"], first["skipped"]) == ("checkpoint-6", [])
    assert (first["resumed_bit_equal"], second["resumed_bit_equal"]) == (True, True)
    for checkpoint in (tmp_path / "whole").glob("checkpoint-*"):
        assert verify(checkpoint) is None
        files = json.loads((checkpoint / MANIFEST).read_text())["files"]
        assert {"rng_state_0.pth", "rng_state_1.pth"} <= set(files)


@pytest.mark.slow
def test_two_processes_train_for_int8_with_equal_scales_and_resume_exactly(tmp_path: Path) -> None:
    first, second = run_both(tmp_path, "two_processes_qat.py")
    assert (first["world"], second["world"]) == (2, 2)
    for name in ("learned", "followed"):
        ours, theirs = first[name], second[name]
        # Every average was handed over by the first process before the last step, in which scales were frozen.
        assert ours["state"] == theirs["state"]
        assert ours["moved"] > 0.5
        assert ours["stayed"]
        assert ours["checkpoint"] == "checkpoint-6"
        assert (ours["resumed_bit_equal"], theirs["resumed_bit_equal"]) == (True, True)

    one = two_processes_qat.training(tmp_path / "one", 8, learned=True)
    one.train()
    expected = two_processes.logged(one, "loss")
    assert first["learned"]["losses"][0] == pytest.approx(expected[0], abs=2e-4)
    # Later on, sums in another order send some values to the next integer.
    assert first["learned"]["losses"] == pytest.approx(expected, rel=0.03)
