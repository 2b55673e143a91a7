"""Headers of safetensors, judged before a loader believes them.

The format (https://github.com/huggingface/safetensors): 8 bytes with the length of the header, little-endian; the
header, JSON that maps each tensor's name to its dtype, shape and place; then the bytes of the tensors, without gaps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hfcompress.errors import UnsafeError
from hfcompress.intake.json_text import parse_mapping, read_mapping
from hfcompress.intake.pickles import holds_pickle, read_head

#: Bytes; a tensor takes about a hundred, and the reference implementation takes up to 100 MB.
LARGEST_HEADER = 8_000_000
#: dtype -> bits of one element.
_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8}
_BITS |= {"U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "C64": 64}
_BITS |= {"U64": 64, "I64": 64, "F64": 64}


def check_weights(folder: Path) -> int:
    """`check_safetensors` for every file of a model folder, and for the index of a model in several files.

    Returns:
        How many elements all tensors have together.

    Raises:
        UnsafeError: as `check_safetensors`; or an index that leads to files elsewhere.
    """
    for index in sorted(folder.glob("*.safetensors.index.json")):
        places = read_mapping(index).get("weight_map")
        named = set(map(str, places.values())) if isinstance(places, dict) else {"no weight_map"}
        for name in sorted(named):
            if Path(name).name != name or not (folder / name).is_file():
                raise UnsafeError(f"{index} leads to {name!r}, which is no file of {folder}; get the model again whole")
    return sum(check_safetensors(path) for path in sorted(folder.glob("*.safetensors")))


def check_safetensors(path: Path) -> int:
    """Refuse a file whose header does not describe the bytes behind it.

    Returns:
        How many elements its tensors have.

    Raises:
        UnsafeError: a header that is too long, is no header, or names bytes that are not there; a pickle.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise UnsafeError(f"{path} {_no_safetensors(path, size, length)}; get the file again")
        if length > LARGEST_HEADER:
            told = f"has {length / 1e6:.0f} MB and at most {LARGEST_HEADER / 1e6:.0f} MB are read"
            raise UnsafeError(f"the header of {path} {told}; save the model in several files")
        header = parse_mapping(file.read(length), f"the header of {path}")
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    return _check_places(path, tensors, size - 8 - length)


def _no_safetensors(path: Path, size: int, length: int) -> str:
    pickle = holds_pickle(read_head(path))
    if pickle is not None:
        return f"is {pickle} by its content, which runs code when it is loaded"
    if size < 8:
        return f"has {size} bytes, too few for a header of safetensors"
    return f"says that its header has {length} bytes, and {size - 8} are left in the file"


def _check_places(path: Path, tensors: Mapping[str, Any], data: int) -> int:
    """The elements of tensors that lie one behind the other and fill `data` bytes."""
    elements, end = 0, 0
    places = sorted((*_read(path, name, entry), name) for name, entry in tensors.items())
    for begin, stop, count, name in places:
        if begin != end:
            raise UnsafeError(f"{path}: the tensor `{name}` begins at byte {begin}, where byte {end} should be next")
        elements, end = elements + count, stop
    if end != data:
        raise UnsafeError(f"{path} holds {data} bytes behind its header, and its tensors take {end}; get it again")
    return elements


def _read(path: Path, name: str, entry: Any) -> tuple[int, int, int]:
    """Where a tensor begins and stops, in bytes, and its elements."""
    try:
        bits, shape, (begin, stop) = _BITS[entry["dtype"]], entry["shape"], entry["data_offsets"]
        whole = all(type(number) is int and number >= 0 for number in (begin, stop, *shape))
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise UnsafeError(f"{path}: the header's entry for `{name}` is no dtype, shape and data_offsets; get it again")
    count = math.prod(shape)
    if (stop - begin) * 8 != count * bits:
        raise UnsafeError(f"{path}: `{name}` has the shape {shape} of {entry['dtype']} in {stop - begin} bytes")
    return begin, stop, count
