"""What a host says about itself, and what it must not say."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from hfcompress import host


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cgroup tree, in which this process is in `/a/b` of version 2 and in `/c` of version 1's cpu."""
    own = tmp_path / "own"
    own.write_text("4:cpu,cpuacct:/c\n0::/a/b\n")
    monkeypatch.setattr(host, "_OWN_CGROUP", own)
    monkeypatch.setattr(host, "_CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    (tmp_path / "fs/a/b").mkdir(parents=True)
    (tmp_path / "fs/cpu/c").mkdir(parents=True)
    return tmp_path / "fs"


def test_a_description_is_plain_json_and_survives_it() -> None:
    description = host.describe_host()
    assert host.HostDescription.model_validate(json.loads(description.model_dump_json())) == description


def test_a_description_names_no_machine_user_or_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "release", lambda: "6.8.0-31-buildbox7")
    monkeypatch.setattr(platform, "node", lambda: "buildbox7")
    text = host.describe_host().model_dump_json()
    assert "buildbox7" not in text
    assert str(Path(sys.prefix)) not in text
    assert os.sep not in text


def test_equal_descriptions_have_equal_ids_and_others_do_not() -> None:
    description = host.describe_host()
    assert host.host_id(description) == host.host_id(description.model_copy())
    assert host.host_id(description) != host.host_id(description.model_copy(update={"cores": description.cores + 1}))
    assert len(host.host_id(description)) == 12


def test_flags_agree_with_py_cpuinfo() -> None:
    cpuinfo = pytest.importorskip("cpuinfo")
    theirs = set(cpuinfo.get_cpu_info().get("flags", ()))
    flags = host.describe_host().flags
    assert {name for name, present in flags.items() if present} == {
        name for name, theirs_too in host._FLAGS.items() if theirs & set(theirs_too)
    }


def test_a_missing_library_has_no_version() -> None:
    assert host._version(("no-such-distribution",)) is None
    assert host.describe_host().versions["numpy"] == __import__("numpy").__version__


def test_cores_are_those_of_the_affinity_without_a_quota(cgroups: Path) -> None:
    (cgroups / "a/b/cpu.max").write_text("max 100000\n")
    (cgroups / "cpu/c/cpu.cfs_quota_us").write_text("-1\n")
    (cgroups / "cpu/c/cpu.cfs_period_us").write_text("100000\n")
    assert host.usable_cores() == 8


def test_a_quota_of_a_parent_group_counts(cgroups: Path) -> None:
    (cgroups / "a/cpu.max").write_text("350000 100000\n")
    assert host.usable_cores() == 3


def test_a_quota_below_one_core_leaves_one(cgroups: Path) -> None:
    (cgroups / "a/b/cpu.max").write_text("50000 100000\n")
    assert host.usable_cores() == 1


def test_a_quota_of_version_1_counts(cgroups: Path) -> None:
    (cgroups / "cpu/c/cpu.cfs_quota_us").write_text("200000\n")
    (cgroups / "cpu/c/cpu.cfs_period_us").write_text("100000\n")
    assert host.usable_cores() == 2


def test_the_memory_limit_of_a_container_counts(cgroups: Path) -> None:
    (cgroups / "a/b/memory.max").write_text("123456789\n")
    assert host._memory_bytes() == 123456789


def test_memory_is_available_up_to_the_limit_of_a_container_whose_file_cache_is_not_used(cgroups: Path) -> None:
    free = host.available_bytes()
    assert free > 3_000_000
    (cgroups / "a/memory.max").write_text("3000000\n")
    (cgroups / "a/memory.current").write_text("2500000\n")
    assert host.available_bytes() == 500_000
    (cgroups / "a/memory.stat").write_text("anon 1\ninactive_file 1000000\n")
    assert host.available_bytes() == 1_500_000
    (cgroups / "a/b/memory.max").write_text("1000\n")
    (cgroups / "a/b/memory.current").write_text("1001\n")
    assert host.available_bytes() == 0


@pytest.mark.parametrize("flag, expected", [("avx512_bf16", True), ("amx_bf16", True), ("bf16", True), ("avx2", False)])
def test_bf16_is_fast_where_the_cpu_multiplies_in_it(
    flag: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_cpu", lambda: ("a CPU", ((flag, True),)))
    assert host.has_bf16() is expected


def test_describing_the_host_imports_no_torch() -> None:
    code = "import sys; from hfcompress.host import describe_host; describe_host(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
