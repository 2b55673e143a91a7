"""What a measurement's host is: CPU, cores, memory and library versions; never a name, a user or a path.

Nothing here imports torch: versions come from the installed packages' metadata, GPUs from `nvidia-smi`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import shutil
import subprocess
from pathlib import Path

from pydantic import BaseModel, ConfigDict

#: flag of the description -> its names in /proc/cpuinfo and in py-cpuinfo.
_FLAGS: dict[str, tuple[str, ...]] = {
    "avx2": ("avx2",),
    "avx512f": ("avx512f",),
    "avx512_vnni": ("avx512_vnni", "avx512vnni"),
    "avx_vnni": ("avx_vnni",),
    "avx512_bf16": ("avx512_bf16",),
    "amx_int8": ("amx_int8",),
    "amx_bf16": ("amx_bf16",),
    "asimddp": ("asimddp",),
    "i8mm": ("i8mm",),
    "bf16": ("bf16",),
}
#: library -> the distributions that may bring it.
_LIBRARIES: dict[str, tuple[str, ...]] = {
    "torch": ("torch",),
    "transformers": ("transformers",),
    "optimum-onnx": ("optimum-onnx",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "onnx": ("onnx",),
    "openvino": ("openvino",),
    "nncf": ("nncf",),
    "datasets": ("datasets",),
    "accelerate": ("accelerate",),
    "numpy": ("numpy",),
}
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_MEMORY_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")


class HostDescription(BaseModel):
    """One host, as plain JSON (`model_dump()`).

    Attributes:
        cpu: the model as the CPU names itself.
        architecture: `x86_64`, `aarch64`, `arm64`.
        flags: the instruction sets that decide how fast INT8 and bf16 are; `asimddp` is Arm's int8 dot product, `bf16`
            Arm's. Empty where they cannot be read.
        cores: cores that this process may use.
        memory_gb: 10^9 bytes that this process may use, rounded.
        os: name and kernel family: `Linux 6.8`.
        python: version.
        versions: library -> version, None when absent.
        gpus: names of NVIDIA GPUs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu: str
    architecture: str
    flags: dict[str, bool]
    cores: int
    memory_gb: int
    os: str
    python: str
    versions: dict[str, str | None]
    gpus: tuple[str, ...]


def describe_host() -> HostDescription:
    """This host. The slow parts (CPU and GPU names) are read once a process."""
    cpu, flags = _cpu()
    return HostDescription(
        cpu=cpu,
        architecture=platform.machine(),
        flags=dict(flags),
        cores=usable_cores(),
        memory_gb=round(_memory_bytes() / 1e9),
        os=_operating_system(),
        python=platform.python_version(),
        versions={library: _version(names) for library, names in _LIBRARIES.items()},
        gpus=_gpus(),
    )


def host_id(description: HostDescription) -> str:
    """12 hex digits that are equal for equal descriptions."""
    text = json.dumps(description.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def has_bf16() -> bool:
    """Whether the CPU computes in bfloat16: elsewhere bf16 autocast converts back and forth and is slower than fp32."""
    flags = describe_host().flags
    return any(flags.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def usable_cores() -> int:
    """Cores that this process may use: its affinity, cut to the cgroup's quota (at least 1).

    A quota of 1.5 cores counts as 1: a second thread would be stopped for half of every period.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [_quota_v2(folder) for folder in _cgroups("")] + [_quota_v1(folder) for folder in _cgroups("cpu")]
    return max(1, min([affinity, *(int(quota) for quota in quotas if quota is not None)]))


def default_threads() -> int:
    """Threads of a runtime when nobody says how many: `OMP_NUM_THREADS` where it is set, else all usable cores."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isdecimal() and int(said) > 0 else usable_cores()


@functools.cache
def _cpu() -> tuple[str, tuple[tuple[str, bool], ...]]:
    """Model and flags. py-cpuinfo takes a second, so it is asked only for what /proc/cpuinfo does not say."""
    name, found = _proc_cpuinfo()
    if not name or not found:
        import cpuinfo

        info = cpuinfo.get_cpu_info()
        name = name or str(info.get("brand_raw") or platform.machine())
        found = found or frozenset(info.get("flags") or ())
    flags = {flag: not found.isdisjoint(names) for flag, names in _FLAGS.items()} if found else {}
    return " ".join(name.split()), tuple(flags.items())


def _proc_cpuinfo() -> tuple[str, frozenset[str]]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", frozenset()
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields.get("model name", ""), frozenset((fields.get("flags") or fields.get("Features") or "").split())


def _operating_system() -> str:
    # Two numbers only: what follows in a kernel's release may name a company or a machine.
    return f"{platform.system()} {'.'.join(platform.release().split('-')[0].split('.')[:2])}"


def _version(names: tuple[str, ...]) -> str | None:
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


@functools.cache
def _gpus() -> tuple[str, ...]:
    if (command := shutil.which("nvidia-smi")) is None:
        return ()
    query = [command, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())


def _memory_bytes() -> float:
    import psutil

    limits = [_number(folder / "memory.max") for folder in _cgroups("")]
    limits += [_number(folder / "memory.limit_in_bytes") for folder in _cgroups("memory")]
    return min([float(psutil.virtual_memory().total), *(limit for limit in limits if limit)])


def available_bytes() -> int:
    """Memory that this process may still take, on this machine and in its cgroups; what caches files counts as free."""
    import psutil

    left = [float(psutil.virtual_memory().available)]
    for controller, limit, used in (("", "memory.max", "memory.current"), ("memory", *_MEMORY_V1)):
        for folder in _cgroups(controller):
            most, now = _number(folder / limit), _number(folder / used)
            if most is not None and now is not None:
                left.append(most - now + _file_cache(folder))
    return max(0, int(min(left)))


def _file_cache(folder: Path) -> float:
    """Bytes of files that a cgroup holds in memory, which count as used and are dropped when memory is wanted."""
    try:
        lines = (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    found = dict(line.split(" ", 1) for line in lines if " " in line)
    return float(found.get("total_inactive_file") or found.get("inactive_file") or 0)


def _cgroups(controller: str) -> list[Path]:
    """The folders that limit this process, its own up to the root: of version 2 (`""`) or a version 1 controller."""
    try:
        lines = _OWN_CGROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            base = _CGROUPS / controller
            own = base / path.lstrip("/")
            return [folder for folder in [own, *own.parents] if folder == base or base in folder.parents]
    return []


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else float(quota) / float(period)


def _quota_v1(folder: Path) -> float | None:
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota / period if quota and period and quota > 0 else None


def _number(path: Path) -> float | None:
    """The number in a cgroup's file; None where there is no file or no limit (`max`)."""
    try:
        value = float(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if math.isfinite(value) else None
