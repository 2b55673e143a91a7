"""Protobuf messages as fields, straight from their bytes (https://protobuf.dev/programming-guides/encoding).

Nothing is copied, so that a file of gigabytes is walked where it lies, and nothing is believed: a length beyond the
message it is in is an error.
"""

from __future__ import annotations

from collections.abc import Iterator


class MalformedError(ValueError):
    """These bytes are no protobuf message."""


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: an integer, or the bytes of what has a length.

    Raises:
        MalformedError: a field does not end within the message, or has an unknown type.
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        match tag & 7:
            case 0:
                value, place = _varint(message, place)
                yield tag >> 3, value
                continue
            case 2:
                length, place = _varint(message, place)
            case 1:
                length = 8
            case 5:
                length = 4
            case other:
                raise MalformedError(f"a field of the unknown wire type {other}")
        if length > len(message) - place:
            raise MalformedError(f"a field of {length} bytes, and {len(message) - place} are left")
        yield tag >> 3, message[place : place + length]
        place += length


def varints(value: int | memoryview) -> list[int]:
    """The integers of a repeated field: one, or several that are packed.

    Raises:
        MalformedError: the last one is cut.
    """
    if isinstance(value, int):
        return [value]
    found, place = [], 0
    while place < len(value):
        number, place = _varint(value, place)
        found.append(number)
    return found


def text(value: int | memoryview) -> str:
    """A string field.

    Raises:
        MalformedError: it is no UTF-8 text.
    """
    try:
        return "" if isinstance(value, int) else bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("a name that is no UTF-8") from None


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise MalformedError("an integer that does not end")
