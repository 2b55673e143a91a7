"""Where a bundle cannot be written."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from hfcompress.bundle.config import BundleConfig
from hfcompress.bundle.folder import check_out, writing_bundle
from hfcompress.errors import InputError
from hfcompress.pipeline.bundle import write_bundle
from tests.bundle.conftest import measured


@pytest.mark.export
@pytest.mark.parametrize("place", ["file/device", "file/deep/device"])
def test_a_folder_that_cannot_be_made_is_refused_before_the_rows_are_read(
    place: str, exported: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    rows = measured(tmp_path / "no rows")
    with pytest.raises(InputError, match=r"device cannot be written \(Not a directory\); name another folder"):
        write_bundle(exported, tmp_path / place, BundleConfig("onnxruntime"), rows)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.export
def test_a_folder_that_may_not_be_written_is_refused_and_no_folder_is_left(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*asked: Any, **named: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("os.mkdir", denied)  # whoever runs this may be root, who may write anywhere
    with pytest.raises(InputError, match=r"device cannot be written \(Permission denied\)"):
        write_bundle(exported, tmp_path / "deep" / "device", BundleConfig("onnxruntime"), measured(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_may_not_be_looked_into_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "exists", denied)
    with pytest.raises(InputError, match=r"device cannot be written \(Permission denied\)"):
        check_out(tmp_path / "device", tmp_path / "onnx")


def test_a_folder_whose_place_cannot_be_taken_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(path: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")  # a mount

    (tmp_path / "device").mkdir()
    monkeypatch.setattr(Path, "rename", busy)
    with (
        pytest.raises(InputError, match=r"device cannot be written \(Device or resource busy\)"),
        writing_bundle(tmp_path / "device") as folder,
    ):
        (folder / "model.onnx").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["device"]


def test_what_fails_while_a_bundle_is_made_keeps_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="row"), writing_bundle(tmp_path / "device"):
        raise FileNotFoundError("row 3 has no image")
    assert not list(tmp_path.iterdir())
