"""Archives among the data, judged before `datasets` unpacks them."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from hfcompress.errors import DataError

#: What a compressed file begins with -> its name. `datasets` unpacks by these bytes, whatever a file is called.
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
}
#: Files of rows: compressed ones are refused, since nothing says what they unpack to.
_ROWS = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".arrow", ".txt")
#: Files that are opened as images whatever else they hold: the end of each, where a zip may hide, is not read.
_IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
#: Archives of which the members can be listed.
_LISTED = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
#: An archive may unpack to so many times its own size, or to so many bytes, whichever is more.
_LARGEST_RATIO, _FREE_BYTES = 200, 1_000_000_000
_MOST_MEMBERS = 5_000_000


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    link: str | None
    plain: bool


def check_data(path: Path) -> None:
    """Judge a file of data, or every file below a folder, by its first bytes: archives by `check_archive`.

    Raises:
        DataError: an archive that `check_archive` refuses, or a file that is compressed otherwise.
    """
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            _check_file(file)


def _check_file(path: Path) -> None:
    kind, name = _kind(path), path.name.lower()
    if kind is None and not name.endswith(_LISTED):
        return
    if name.endswith(_LISTED) or (kind in ("zip", "tar") and not name.endswith(_ROWS)):
        check_archive(path)
        return
    raise DataError(
        f"{path} is compressed ({kind}), and would be unpacked to a size that nothing says; unpack it, and give the "
        "plain file"
    )


def _kind(path: Path) -> str | None:
    """How a file is packed, by its content; None: it is not."""
    with path.open("rb") as file:
        head = file.read(512)
    for magic, kind in _COMPRESSED.items():
        if head.startswith(magic):
            return kind
    if head.startswith(_ZIP) or (not path.name.lower().endswith(_IMAGES) and zipfile.is_zipfile(path)):
        return "zip"
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None
    return "tar"


def check_archive(path: Path) -> None:
    """Refuse a zip or tar whose members leave the folder that it is unpacked into, or that unpacks to absurd sizes.

    Members are listed, not unpacked.

    Raises:
        DataError: names the archive, the member and what is wrong with it.
    """
    most = max(_FREE_BYTES, _LARGEST_RATIO * path.stat().st_size)
    total = 0
    try:
        for number, member in enumerate(_members(path)):
            fault = _fault(member)
            if fault is not None:
                raise DataError(f"{path}: its member {member.name!r} {fault}; unpack it by hand where you trust it")
            total += member.size
            if total > most or number >= _MOST_MEMBERS:
                raise DataError(
                    f"{path} has {path.stat().st_size} bytes and would unpack to more than {total} in {number + 1} "
                    "files; unpack it by hand where you trust it"
                )
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise DataError(f"{path} is no archive that can be read: {error}; get it again") from error


def _members(path: Path) -> Iterator[_Member]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from map(_of_zip, archive.infolist())
        return
    with tarfile.open(path) as tar:
        yield from map(_of_tar, tar)


def _of_zip(info: zipfile.ZipInfo) -> _Member:
    # Nothing is read of a link in a zip: its target is in its bytes.
    link = "?" if stat.S_ISLNK(info.external_attr >> 16) else None
    return _Member(info.orig_filename, info.file_size, link, plain=True)


def _of_tar(info: tarfile.TarInfo) -> _Member:
    link = info.linkname if info.issym() or info.islnk() else None
    return _Member(info.name, info.size, link, plain=info.isreg() or info.isdir() or link is not None)


def _fault(member: _Member) -> str | None:
    if _leaves(member.name):
        return "leaves the folder that it is unpacked into"
    if member.link is not None:
        return "is a link, which may lead anywhere"
    return None if member.plain else "is a device or a pipe"


def _leaves(name: str) -> bool:
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    return posix.is_absolute() or bool(windows.drive or windows.root) or ".." in windows.parts or "\0" in name
