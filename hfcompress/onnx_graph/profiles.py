"""Optimization profiles: the smallest, usual and largest sizes that an engine is built for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfcompress.errors import InputError
from hfcompress.tasks.base import Task
from hfcompress.tasks.lengths import Lengths

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
    found: dict[str, Profile] = {}
    for text in texts:
        name, _, said = text.partition("=")
        parts = said.split(":")
        if not name or len(parts) not in (1, 3) or not all(_SIZES.fullmatch(part) for part in parts):
            raise InputError(f"a profile is INPUT=MIN:OPT:MAX, as in input_ids=1x8:16x64:32x128, got {text!r}")
        if name in found:
            raise InputError(f"two profiles of {name} were given, the second is {text!r}; give one")
        sizes = [tuple(int(size) for size in part.split("x")) for part in parts]
        found[name] = Profile(sizes[0], sizes[len(sizes) // 2], sizes[-1])
    return found


def derive_profiles(
    task: Task, processor: Any, inputs: Sequence[str], lengths: Lengths, batches: Sequence[int]
) -> dict[str, Profile]:
    """Profiles that the data fits into: from one shortest row to the largest batch of the longest ones.

    The optimum is the largest batch at the length where half of all tokens are computed.

    Args:
        task: makes batches of a size.
        processor: the artifact's.
        inputs: of the graph.
        lengths: of the rows that will be served.
        batches: rows of a batch, as many as will come.

    Raises:
        InputError: the graph has an input that the processor does not make.
    """

    def sizes(batch: int, tokens: int) -> dict[str, Sizes]:
        made = task.grid_batch(processor, batch, tokens, seed=0)
        if unknown := sorted(set(inputs) - set(made)):
            raise InputError(
                f"the graph asks for {', '.join(unknown)}, which its processor does not make (it makes "
                f"{', '.join(sorted(made))}); export it again without that input"
            )
        return {name: made[name].shape for name in inputs}

    low, usual, high = (lengths.shortest, lengths.usual, lengths.longest) if lengths else (0, 0, 0)
    most = max(batches)
    smallest, optimum, largest = sizes(1, low), sizes(most, usual), sizes(most, high)
    return {name: Profile(smallest[name], optimum[name], largest[name]) for name in inputs}


def covering(profiles: Profiles, sizes: Iterable[Mapping[str, Sizes]]) -> dict[str, Profile]:
    """Profiles that further sizes fit into as well; the optimum stays.

    Args:
        profiles: by input.
        sizes: of every input, as many combinations as will come.
    """
    found = dict(profiles)
    for combination in sizes:
        for name, each in found.items():
            low = tuple(map(min, each.minimum, combination[name]))
            high = tuple(map(max, each.maximum, combination[name]))
            found[name] = Profile(low, each.optimum, high)
    return found


def shapes_text(profiles: Profiles, which: str) -> str:
    """One bound of every profile as trtexec and ONNX Runtime read it: `input_ids:1x8,attention_mask:1x8`.

    Args:
        profiles: by input.
        which: `minimum`, `optimum` or `maximum`.
    """
    return ",".join(f"{name}:{'x'.join(map(str, getattr(each, which)))}" for name, each in profiles.items())
