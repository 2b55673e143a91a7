from __future__ import annotations

import numpy as np
import pytest

from hfcompress.bundle.profiles import check_profiles
from hfcompress.errors import InputError
from hfcompress.onnx_graph.profiles import covering, parse_profiles
from hfcompress.tasks.lengths import Lengths

#: 5 rows of 4 tokens, 2 of 20, 1 of 60.
LENGTHS = Lengths(np.bincount([4] * 5 + [20] * 2 + [60]))
NEEDED = parse_profiles(["ids=1x4:32x20:32x60"])


def refused(*given: str) -> str:
    with pytest.raises(InputError) as error:
        check_profiles(parse_profiles(given), NEEDED, LENGTHS)
    return str(error.value)


def test_rows_that_are_too_long_are_counted_and_the_new_maximum_is_offered() -> None:
    said = refused("ids=1x4:16x20:32x32")
    assert "the profile of ids takes 4 to 32 in axis 1, and 1 of 8 rows have more tokens, 60 at most" in said
    assert "use --profile ids=1x4:16x20:32x60" in said


def test_rows_that_are_too_short_and_batches_that_are_too_large_are_named() -> None:
    assert "5 of 8 rows have fewer tokens, 4 at least; use --profile ids=1x4:16x20:32x60" in refused(
        "ids=1x8:16x20:32x60"
    )
    assert "takes 1 to 16 in axis 0, and what is measured takes 1 to 32" in refused("ids=1x4:16x20:16x60")


def test_profiles_of_other_inputs_or_axes_are_refused() -> None:
    assert "the model takes ids, got mask; these fit the data: --profile ids=1x4:32x20:32x60" in refused("mask=1x4")
    assert "ids=8:8:8 is no profile of ids" in refused("ids=8")
    assert "is no profile of ids" in refused("ids=1x4:32x64:16x60")


def test_what_fits_passes() -> None:
    check_profiles(parse_profiles(["ids=1x1:8x20:64x128"]), NEEDED, LENGTHS)


def test_widening_takes_in_every_shape_and_leaves_the_optimum() -> None:
    found = covering(NEEDED, [{"ids": (1, 2)}, {"ids": (64, 16)}])["ids"]
    assert (found.minimum, found.optimum, found.maximum) == ((1, 2), (32, 20), (64, 60))
