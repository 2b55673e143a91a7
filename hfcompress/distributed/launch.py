"""The hand-over to accelerate's launcher, and how its processes hand their exit codes back.

The launcher ends with 1 whatever its processes end with, so each of them leaves its exit code in a file.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

from hfcompress.distributed.signals import handling
from hfcompress.distributed.world import machine, rank, world_size
from hfcompress.errors import LaunchError, SmallerBatchError, StageError
from hfcompress.recipe.yaml_text import NotPlainError, read_yaml

#: What of an accelerate config a command may override: what differs from machine to machine and from day to day.
FIELDS = (
    "gpu_ids",
    "machine_rank",
    "main_process_ip",
    "main_process_port",
    "max_restarts",
    "num_cpu_threads_per_process",
    "num_machines",
    "num_processes",
)
_EXIT_CODES, _COMMAND = "HFCOMPRESS_EXIT_CODES", "HFCOMPRESS_COMMAND"
_GATE_FAILED, _TERMINATED = 1, 143


def config_names() -> tuple[str, ...]:
    """The accelerate configs that come with the package."""
    return tuple(sorted(path.name.removesuffix(".yaml") for path in _folder().iterdir()))


def config_path(name: str) -> Path:
    """An accelerate config by its name, or by the path of one of the user's.

    Raises:
        LaunchError: there is none; says which there are.
    """
    if name in config_names():
        return _folder() / f"{name}.yaml"
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml", ".json") and path.is_file():
        return path
    raise LaunchError(
        f"--accelerate takes the name of a config ({', '.join(config_names())}) or the path of a yaml or json file of "
        f"`accelerate config`, got {name!r}"
    )


def _folder() -> Path:
    return Path(str(files("hfcompress"))) / "accelerate_configs"


@dataclass(frozen=True)
class Launch:
    """A launch that can be started.

    Attributes:
        config: the accelerate config.
        fields: what of it is overridden.
        processes: over all machines.
        machines: how many there are, each with a launcher of its own.
        cpu: whether it is for CPUs.
    """

    config: Path
    fields: Mapping[str, str]
    processes: int
    machines: int
    cpu: bool

    def command(self, arguments: Sequence[str]) -> list[str]:
        """`accelerate launch ... -m hfcompress <arguments>`."""
        overridden = {**self.fields, "num_processes": str(self.processes)}
        options = [word for name, value in overridden.items() for word in (f"--{name}", value)]
        launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(self.config), *options]
        return [*launcher, "-m", "hfcompress", *arguments]


def plan_launch(name: str, overrides: Sequence[str] = ()) -> Launch:
    """Read an accelerate config and what is overridden in it (`FIELD=VALUE`), and count the processes.

    A config that leaves `num_processes` out gets one for each GPU of each machine.

    Raises:
        LaunchError: no such config, an unknown field, or a config for GPUs where torch sees none.
    """
    config = config_path(name)
    fields = dict(_field(text) for text in overrides)
    known = {**_read(config), **fields}
    machines, cpu = _count(known, "num_machines", 1), str(known.get("use_cpu", False)).lower() == "true"
    processes = _count(known, "num_processes", -1)
    if processes < 1:
        processes = machines * _gpus(name)
    return Launch(config, fields, processes, machines, cpu)


def _field(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or name not in FIELDS or not value:
        raise LaunchError(f"--launch takes FIELD=VALUE, FIELD one of {', '.join(FIELDS)}; got {text!r}")
    return name, value


def _read(config: Path) -> dict[str, Any]:
    try:
        found = read_yaml(config.read_text(encoding="utf-8"))  # JSON is YAML
    except (NotPlainError, OSError, UnicodeDecodeError) as error:
        raise LaunchError(f"the accelerate config {config} cannot be read: {error}") from error
    if not isinstance(found, dict) or "distributed_type" not in found:
        raise LaunchError(f"{config} is no accelerate config: it has no `distributed_type`; see `accelerate config`")
    return found


def _count(known: Mapping[str, Any], name: str, default: int) -> int:
    try:
        return int(known.get(name, default))
    except (TypeError, ValueError) as error:
        raise LaunchError(f"{name} should be a whole number, got {known[name]!r}") from error


def _gpus(name: str) -> int:
    import torch

    if not torch.accelerator.is_available():
        raise LaunchError(
            f"--accelerate {name} starts one process for each GPU, and torch sees none on this machine; use "
            "`--accelerate cpu2`, or name a number: --launch num_processes=4"
        )
    return torch.accelerator.device_count()


def run_launch(launch: Launch, arguments: Sequence[str]) -> int:
    """Start the processes and wait; again when one ran out of memory and the next try takes smaller batches.

    SIGTERM is passed on to them. With several machines every one has its own launcher, so that nobody can start all of
    them again: there the user does.

    Returns:
        The exit code of the process that ended the job.
    """
    environ = {**os.environ, _COMMAND: shlex.join(["hfcompress", *sys.argv[1:]])}
    if launch.cpu:
        environ["ACCELERATE_USE_CPU"] = "true"  # accelerate reads `use_cpu` and tells its processes nothing of it
    while True:
        with TemporaryDirectory(prefix="hfcompress-launch-") as folder:
            ended = _run(launch.command(arguments), {**environ, _EXIT_CODES: folder})
            codes = {int(path.name): int(path.read_text()) for path in Path(folder).iterdir()}
        code = verdict(ended, codes, launch.processes // launch.machines)
        if code != SmallerBatchError.exit_code or launch.machines > 1:
            return code
        arguments = [word for word in arguments if word != "--fresh"]  # which would take the record away


def _run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """The launcher's exit code; 143 when SIGTERM came meanwhile."""
    terminated = False

    def pass_on(number: int, _frame: FrameType | None) -> None:
        nonlocal terminated
        terminated = True
        launcher.send_signal(number)

    with subprocess.Popen(command, env=environ) as launcher, handling(signal.SIGTERM, pass_on):
        try:
            code = launcher.wait()
        except KeyboardInterrupt:  # it went to the launcher too, which ends its processes first
            launcher.wait()
            raise
    return _TERMINATED if terminated else code


def verdict(launcher: int, codes: Mapping[int, int], processes: int) -> int:
    """One exit code from the launcher's own and those that its processes on this machine left, by rank.

    The launcher ends the others with SIGTERM when one fails, so 143 counts only where no process says something else.

    Raises:
        StageError: a process ended without a word.
    """
    own = [code for _, code in sorted(codes.items()) if code not in (0, _TERMINATED)]
    if own:
        return SmallerBatchError.exit_code if SmallerBatchError.exit_code in own else own[0]
    if launcher in (0, _TERMINATED):
        return launcher
    if _TERMINATED in codes.values() and len(codes) == processes:
        return _TERMINATED
    raise StageError(
        "a process of this job ended without a word (killed from outside, or by the system when memory ran out); run "
        "the same command again to go on"
    )


def leave_exit_code(code: int) -> int:
    """Leave this process's exit code for the command that started the launcher, if one did.

    Returns:
        The code to end with: a failed gate is no failure of the processes, about which the launcher would complain.
    """
    folder = os.environ.get(_EXIT_CODES)
    if folder is None or world_size() == 1:
        return code
    (Path(folder) / str(rank())).write_text(str(code), encoding="utf-8")
    return 0 if code == _GATE_FAILED else code


def whoami() -> str:
    """`rank 3 (machine 1)`; empty where there is one process."""
    return f"rank {rank()} (machine {machine()})" if world_size() > 1 else ""


def resume_command(argv: Sequence[str]) -> str:
    """The command that goes on where this process stopped: as the user gave it, without `--fresh`."""
    words = shlex.split(os.environ.get(_COMMAND, "")) or _launcher_command() or _own_command(argv)
    return shlex.join(word for word in words if word != "--fresh")


def _own_command(argv: Sequence[str]) -> list[str]:
    program = Path(argv[0]).name
    if program == "__main__.py":
        return [sys.executable, "-m", "hfcompress", *argv[1:]]
    return [program, *argv[1:]] if program == "hfcompress" else [sys.executable, *argv]


def _launcher_command() -> list[str]:
    """Of `accelerate launch` or torchrun, whose own process is the parent of every rank on its machine."""
    if world_size() == 1:
        return []
    import psutil

    try:
        return list(psutil.Process(os.getppid()).cmdline())
    except psutil.Error:
        return []
