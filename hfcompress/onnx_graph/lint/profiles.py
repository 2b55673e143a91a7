"""Optimization profiles: the smallest, usual and largest sizes that an engine is built for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hfcompress.errors import InputError

Sizes = tuple[int, ...]
_SIZES = re.compile(r"\d+(x\d+)*")


@dataclass(frozen=True)
class Profile:
    """The sizes of one input of a graph."""

    minimum: Sizes
    optimum: Sizes
    maximum: Sizes

    @property
    def is_ordered(self) -> bool:
        """Whether minimum <= optimum <= maximum in every axis, from 1 on."""
        if not len(self.minimum) == len(self.optimum) == len(self.maximum):
            return False
        return all(
            1 <= low <= usual <= high for low, usual, high in zip(self.minimum, self.optimum, self.maximum, strict=True)
        )


Profiles = Mapping[str, Profile]


def parse_profiles(texts: Iterable[str]) -> dict[str, Profile]:
    """Profiles as trtexec writes sizes: `input_ids=1x8:16x64:32x128`, or `pixel_values=8x3x224x224` for one size alone.

    Raises:
        InputError: a text that says something else.
    """
    found = {}
    for text in texts:
        name, _, said = text.partition("=")
        parts = said.split(":")
        if not name or len(parts) not in (1, 3) or not all(_SIZES.fullmatch(part) for part in parts):
            raise InputError(f"a profile is INPUT=MIN:OPT:MAX, as in input_ids=1x8:16x64:32x128, got {text!r}")
        sizes = [tuple(int(size) for size in part.split("x")) for part in parts]
        found[name] = Profile(sizes[0], sizes[len(sizes) // 2], sizes[-1])
    return found
