"""Archives among the data, judged before `datasets` unpacks them."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from hfcompress.errors import DataError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
#: An archive may unpack to so many times its own size, or to so many bytes, whichever is more.
_LARGEST_RATIO, _FREE_BYTES = 200, 1_000_000_000
_MOST_MEMBERS = 5_000_000


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    link: str | None
    plain: bool


def check_archives(folder: Path) -> None:
    """`check_archive` for every archive below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.name.lower().endswith(SUFFIXES) and path.is_file():
            check_archive(path)


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
