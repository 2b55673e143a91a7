"""The run folder and its lock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hfcompress.errors import RunFolderError
from hfcompress.pipeline.folder import RunFolder

HOLD = """
import sys, time
from pathlib import Path
from hfcompress.pipeline.folder import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    made.create(0)
    return made


@pytest.fixture
def holder(folder: RunFolder) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_holds_the_folder(folder: RunFolder, holder: subprocess.Popen[str]) -> None:
    try:
        with pytest.raises(RunFolderError, match=rf"in use by process {holder.pid}"), folder.locked():
            pass
    finally:
        holder.kill()
        holder.communicate()


def test_the_lock_dies_with_its_process(folder: RunFolder, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.communicate()
    with folder.locked():
        pass


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match=r"cannot be written to.*--out"):
        RunFolder(tmp_path / "file" / "run").create(0)


def test_too_little_disk_is_refused_with_both_figures(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"needs about 1000000000\.0 GB .* has \d+\.\d GB free"):
        RunFolder(tmp_path / "run").create(10**18)
