"""The sizes of an engine: those of the data and of the latency grid, or those that somebody names, checked."""

from __future__ import annotations

from hfcompress.errors import InputError
from hfcompress.onnx_graph.profiles import Profile, Profiles, covering
from hfcompress.tasks.lengths import Lengths


def check_profiles(given: Profiles, needed: Profiles, lengths: Lengths) -> None:
    """Refuse profiles that rows or the latency grid exceed.

    Args:
        given: as somebody named them.
        needed: what everything that will be measured takes.
        lengths: of the rows, in tokens; empty for rows without lengths.

    Raises:
        InputError: an input has none, or one does not fit; says how many rows exceed it, and which one would do.
    """
    if set(given) != set(needed):
        raise InputError(
            f"profiles are of all inputs or of none: the model takes {', '.join(needed)}, got {', '.join(given)}; "
            f"these fit the data: {_options(needed)}"
        )
    for name, profile in given.items():
        needs = needed[name]
        if len(profile.maximum) != len(needs.maximum) or not profile.is_ordered:
            raise InputError(
                f"{_text(name, profile)} is no profile of {name}; this fits the data: {_text(name, needs)}"
            )
        for axis, (least, most) in enumerate(zip(needs.minimum, needs.maximum, strict=True)):
            if most > profile.maximum[axis] or least < profile.minimum[axis]:
                fits = _options({each: _joined(given[each], needed[each]) for each in given})
                raise InputError(
                    f"{_exceeded(name, profile, needs, axis, lengths)}; use {fits}, or measure less (--batch, "
                    "--sequence, the recipe's max_length)"
                )


def _exceeded(name: str, profile: Profile, needs: Profile, axis: int, lengths: Lengths) -> str:
    """What does not fit: rows by their number where the axis is that of tokens."""
    low, high = profile.minimum[axis], profile.maximum[axis]
    bounds = f"the profile of {name} takes {low} to {high} in axis {axis}"
    if axis == 1 and lengths and len(profile.maximum) == 2:
        longer, shorter = lengths.longer_than(high), int(lengths.counts[:low].sum())
        whole = int(lengths.counts.sum())
        if longer:
            return f"{bounds}, and {longer} of {whole} rows have more tokens, {lengths.longest} at most"
        if shorter:
            return f"{bounds}, and {shorter} of {whole} rows have fewer tokens, {lengths.shortest} at least"
    return f"{bounds}, and what is measured takes {needs.minimum[axis]} to {needs.maximum[axis]}"


def _joined(given: Profile, needed: Profile) -> Profile:
    return covering({"": given}, [{"": needed.minimum}, {"": needed.maximum}])[""]


def _options(profiles: Profiles) -> str:
    return " ".join(f"--profile {_text(name, profile)}" for name, profile in profiles.items())


def _text(name: str, profile: Profile) -> str:
    sizes = (profile.minimum, profile.optimum, profile.maximum)
    return f"{name}={':'.join('x'.join(map(str, each)) for each in sizes)}"
