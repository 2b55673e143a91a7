"""The host: models of its parts, never its name."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

#: flag -> its names in /proc/cpuinfo: the instruction sets that decide how fast INT8 and bf16 are.
FLAGS = {
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


def describe_host(gpus: list[str]) -> dict[str, Any]:
    """CPU, GPU, board, cores, memory and system; no name, user, address or path."""
    cpuinfo = fields_of("/proc/cpuinfo")
    has = set((cpuinfo.get("flags") or cpuinfo.get("Features") or "").split())
    memory = int((fields_of("/proc/meminfo").get("MemTotal") or "0").split()[0]) * 1024
    host = {
        "cpu": cpuinfo.get("model name") or platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "flags": {flag: not has.isdisjoint(names) for flag, names in FLAGS.items()} if has else {},
        "cores": usable_cores(),
        "memory_gb": round(memory / 1e9),
        "os": f"{platform.system()} {'.'.join(platform.release().split('-')[0].split('.')[:2])}",
        "python": platform.python_version(),
        "gpus": gpus or lines_of(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]),
    }
    board = text_of("/proc/device-tree/model").strip("\0 \n")
    mode = [line.partition(":")[2].strip() for line in lines_of(["nvpmodel", "-q"]) if "Power Mode" in line]
    return {**host, **({"board": board} if board else {}), **({"power_mode": mode[0]} if mode else {})}


def has_bf16() -> bool:
    """Whether the CPU multiplies bf16; OpenVINO also takes it where it has to imitate it."""
    cpuinfo = fields_of("/proc/cpuinfo")
    has = (cpuinfo.get("flags") or cpuinfo.get("Features") or "").split()
    return any(flag in has for flag in ("avx512_bf16", "amx_bf16", "bf16"))


def usable_cores() -> int:
    """Cores that this process may use: its affinity, cut to the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = text_of("/sys/fs/cgroup/cpu.max").partition(" ")
    return max(1, min(cores, int(quota) // int(period))) if quota.isdigit() and period.strip().isdigit() else cores


def peak_memory_mb() -> float:
    """Peak resident memory of this process, 10^6 bytes; memory of a GPU of its own is not in it."""
    said = fields_of("/proc/self/status").get("VmHWM")
    if said is not None:
        return int(said.split()[0]) * 1024 / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def fields_of(path: str) -> dict[str, str]:
    """`name: value` lines; the first of each name."""
    found: dict[str, str] = {}
    for line in text_of(path).splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), " ".join(value.split()))
    return found


def text_of(path: str) -> str:
    """What a file of the system says; nothing where it is not there."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def lines_of(command: list[str]) -> list[str]:
    """What a command of the system prints; nothing where it is not there or fails."""
    if shutil.which(command[0]) is None:
        return []
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in said.splitlines() if line.strip()]
