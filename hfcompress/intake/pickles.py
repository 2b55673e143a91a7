"""Pickles, by name and by content: to load one is to run whatever code it holds."""

from __future__ import annotations

import io
import pickletools
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

#: Names under which frameworks save pickles.
NAMES = (
    "*.pt",
    "*.pth",
    "*.ckpt",
    "*.pkl",
    "*.pickle",
    "*.joblib",
    "*.dill",
    "pytorch_model*.bin",
    "training_args.bin",
)
#: Bytes of a file that are looked at: a pickle shows itself in its first operations.
_HEAD = 1 << 16
#: So many operations in a row are no accident.
_ENOUGH = 32
#: Operations that name a function or class, which others call.
_CODE = frozenset({"GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4"})
#: A line of `pickletools.dis`: place, opcode, indent by depth of the stack, name.
_OPERATION = re.compile(r"^ *\d+: .{1,4} *([A-Z][A-Z0-9_]+)", re.MULTILINE)
_ZIP, _NUMPY, _PROTO = b"PK\x03\x04", b"\x93NUMPY", b"\x80"


def is_pickle_name(name: str) -> bool:
    """Whether a file of this name is a pickle by convention."""
    return any(fnmatch(name.lower(), pattern) for pattern in NAMES)


def holds_pickle(head: bytes) -> str | None:
    """What makes the beginning of a file (64 KB are enough) a pickle, in words; None when nothing does.

    Nothing is unpickled: operations are read, not run.
    """
    if head.startswith(_ZIP):
        return "a zip archive, as torch.save writes" if b".pkl" in head[:_HEAD] else None
    if head.startswith(_NUMPY):
        return "a numpy array of Python objects" if b"'|O'" in head[:1024] else None
    found = _read_operations(head[:_HEAD])
    if head.startswith(_PROTO) and (found.ended or len(found.names) >= 3) and not _is_safetensors(head):
        return "a pickle"
    # The first protocols begin with no mark, and their operations are letters, with which a text may begin.
    alone = len(found.names) > 2 and not head[found.length :].strip()
    sure = found.ended and (alone or not _CODE.isdisjoint(found.names))
    return "a pickle of protocol 0 or 1" if sure or len(found.names) >= _ENOUGH else None


def read_head(path: Path) -> bytes:
    """As much of a file as `holds_pickle` looks at."""
    with path.open("rb") as file:
        return file.read(_HEAD)


@dataclass(frozen=True)
class _Operations:
    names: tuple[str, ...]
    length: int
    ended: bool


def _read_operations(head: bytes) -> _Operations:
    """The pickle operations that the bytes begin with, as far as each finds on the stack what it takes."""
    # From memory: in a file, an operation with a huge length would be read with as huge a buffer.
    lines, stream = io.StringIO(), io.BytesIO(head)
    try:
        pickletools.dis(stream, out=lines)
        ended = True
    except (ValueError, IndexError, OverflowError):  # no operation, one that is cut, or one without its operands
        ended = False
    names = (match[1] for match in _OPERATION.finditer(lines.getvalue()))
    return _Operations(tuple(names), stream.tell(), ended)


def _is_safetensors(head: bytes) -> bool:
    """Whether the 8 bytes of a header's length, which may begin as a pickle does, are followed by its JSON."""
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32
