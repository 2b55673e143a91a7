"""The accelerate configs that are shipped, and the hand-over to the launcher."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from hfcompress.cli.run import _without
from hfcompress.distributed import launch
from hfcompress.distributed.launch import (
    Launch,
    config_names,
    config_path,
    plan_launch,
    resume_command,
    run_launch,
    verdict,
)
from hfcompress.errors import LaunchError, StageError

NAMES = ("cpu2", "deepspeed_zero2", "fsdp2", "multi_gpu", "multi_node")


def test_five_configs_are_shipped() -> None:
    assert config_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_accelerates_own_loader_and_launcher_take_a_shipped_config(name: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.commands.launch import launch_command_parser

    config = load_config_from_file(str(config_path(name)))
    types = {"cpu2": "MULTI_GPU", "deepspeed_zero2": "DEEPSPEED", "fsdp2": "FSDP"}
    assert config.distributed_type.value == types.get(name, "MULTI_GPU")
    assert config.use_cpu is (name == "cpu2")
    assert config.num_machines == (2 if name == "multi_node" else 1)
    # What is left out is counted by us: accelerate refuses it.
    assert config.num_processes == (2 if name == "cpu2" else -1)
    assert config.mixed_precision == "no"  # the recipe's word, and part of a stage's key

    fields = ["num_processes=4", "machine_rank=1", "main_process_ip=10.0.0.1"]
    command = plan_launch(name, fields).command(["run", "recipe.yaml", "--set", "seed=1"])
    assert command[:3] == [sys.executable, "-m", "accelerate.commands.launch"]
    parsed = launch_command_parser().parse_args(command[3:])
    assert (parsed.config_file, parsed.num_processes, parsed.machine_rank) == (str(config_path(name)), 4, 1)
    assert (parsed.module, parsed.training_script) == (True, "hfcompress")
    assert parsed.training_script_args == ["run", "recipe.yaml", "--set", "seed=1"]


def test_fsdp_loads_whole_models_and_splits_them_the_second_way() -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(config_path("fsdp2"))).fsdp_config
    assert (config["fsdp_version"], config["fsdp_cpu_ram_efficient_loading"]) == (2, False)


def test_one_process_for_each_gpu_of_each_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    monkeypatch.setattr("torch.accelerator.device_count", lambda: 4)
    assert plan_launch("multi_gpu").processes == 4
    assert plan_launch("multi_node", ["num_machines=3"]).processes == 12
    assert plan_launch("multi_gpu", ["num_processes=2"]).processes == 2
    assert plan_launch("cpu2").processes == 2


def test_a_config_for_gpus_needs_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    with pytest.raises(LaunchError, match="torch sees none on this machine; use `--accelerate cpu2`"):
        plan_launch("fsdp2")


@pytest.mark.parametrize("fields", [["num_process=2"], ["num_processes"], ["num_processes="], ["num_processes=two"]])
def test_a_wrong_field_is_an_error(fields: list[str]) -> None:
    with pytest.raises(LaunchError, match="num_processes"):
        plan_launch("cpu2", fields)


def test_a_users_own_file_is_taken_and_anything_else_refused(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text('{"distributed_type": "MULTI_GPU", "num_processes": 3}')
    assert plan_launch(str(own)).processes == 3
    with pytest.raises(LaunchError, match=r"\(cpu2, deepspeed_zero2, .*got 'cpu3'"):
        plan_launch("cpu3")
    own.write_text("{}")
    with pytest.raises(LaunchError, match="has no `distributed_type`"):
        plan_launch(str(own))


def test_the_ranks_get_every_option_but_the_launchers() -> None:
    given = ["run", "x.yaml", "--accelerate", "cpu2", "--fresh", "--launch=num_processes=2", "--set", "a=--launch"]
    assert _without(given, "--accelerate", "--launch") == ["run", "x.yaml", "--fresh", "--set", "a=--launch"]


@pytest.mark.parametrize(
    ("launcher", "codes", "verdict_"),
    [
        (0, {0: 0, 1: 0}, 0),
        (0, {0: 1, 1: 1}, 1),  # a failed gate, which the launcher does not see
        (1, {0: 143, 1: 3}, 3),  # rank 1 failed, and rank 0 was ended
        (1, {0: 2, 1: 143}, 2),
        (1, {0: 3, 1: 75}, 75),
        (1, {0: 143, 1: 143}, 143),
        (143, {0: 143}, 143),
    ],
)
def test_the_exit_code_is_that_of_the_rank_that_ended_the_job(
    launcher: int, codes: dict[int, int], verdict_: int
) -> None:
    assert verdict(launcher, codes, 2) == verdict_


@pytest.mark.parametrize("codes", [{0: 143}, {}])
def test_a_rank_that_says_nothing_was_killed(codes: dict[int, int]) -> None:
    with pytest.raises(StageError, match="ended without a word"):
        verdict(1, codes, 2)


class Pretended(Launch):
    """A launcher that is a few lines of Python, which are two ranks."""

    def command(self, arguments: list[str]) -> list[str]:  # type: ignore[override]
        return [sys.executable, str(self.config), *arguments]


def pretend(tmp_path: Path, code: str, machines: int = 1) -> Pretended:
    script = tmp_path / "launcher.py"
    script.write_text(
        "import os, signal, sys, time\nfrom pathlib import Path\n"
        "codes = Path(os.environ['HFCOMPRESS_EXIT_CODES'])\n"
        f"tries = Path({str(tmp_path / 'tries')!r})\n"
        "tries.open('a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "def end(code, *ranks):\n"
        "    for rank, said in enumerate(ranks):\n        (codes / str(rank)).write_text(str(said))\n"
        "    sys.exit(code)\n" + code
    )
    return Pretended(script, {}, 2 * machines, machines, cpu=True)


def test_out_of_memory_launches_again_without_fresh(tmp_path: Path) -> None:
    code = "end(1, 143, 75) if len(tries.read_text().splitlines()) < 3 else end(0, 0, 0)"
    assert run_launch(pretend(tmp_path, code), ["run", "--fresh"]) == 0
    assert (tmp_path / "tries").read_text().splitlines() == ["run --fresh", "run", "run"]


def test_of_several_machines_none_launches_again_alone(tmp_path: Path) -> None:
    assert run_launch(pretend(tmp_path, "end(1, 143, 75)", machines=2), ["run"]) == 75
    assert len((tmp_path / "tries").read_text().splitlines()) == 1


def test_a_cpu_config_says_so_to_its_processes(tmp_path: Path) -> None:
    assert run_launch(pretend(tmp_path, "end(0, 7 * (os.environ.get('ACCELERATE_USE_CPU') == 'true'))"), []) == 7


def test_sigterm_goes_on_to_the_launcher(tmp_path: Path) -> None:
    code = (
        "signal.signal(signal.SIGTERM, lambda *_: end(1, 143, 143))\n"
        "os.kill(os.getppid(), signal.SIGTERM)\n"
        "time.sleep(30)"
    )
    assert run_launch(pretend(tmp_path, code), []) == 143


def test_the_command_that_goes_on_is_the_users_without_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["/somewhere/bin/hfcompress", "run", "my recipe.yaml", "--fresh"]
    assert resume_command(argv) == "hfcompress run 'my recipe.yaml'"
    module = resume_command(["/somewhere/hfcompress/__main__.py", "run", "x.yaml"])
    assert shlex.split(module) == [sys.executable, "-m", "hfcompress", "run", "x.yaml"]
    monkeypatch.setenv(launch._COMMAND, "hfcompress run x.yaml --fresh --accelerate cpu2")
    assert resume_command(argv) == "hfcompress run x.yaml --accelerate cpu2"
