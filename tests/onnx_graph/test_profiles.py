"""Sizes that an engine is built for, beside those that a graph's inputs have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hfcompress.errors import InputError
from hfcompress.onnx_graph.lint import lint
from hfcompress.onnx_graph.profiles import Profile, covering, derive_profiles, parse_profiles, shapes_text
from hfcompress.tasks import get_task
from hfcompress.tasks.lengths import Lengths
from tests.onnx_graph.lint.crafted import clean


def test_profiles_are_written_as_trtexec_writes_sizes() -> None:
    found = parse_profiles(["input_ids=1x8:16x64:32x128", "image=8x3x224x224"])
    assert found["input_ids"] == Profile((1, 8), (16, 64), (32, 128))
    assert found["image"] == Profile(*[(8, 3, 224, 224)] * 3)


@pytest.mark.parametrize("text", ["image", "=1x2", "image=1x2:3x4", "image=1xN", "image=1,2:1,2:1,2"])
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"a profile is INPUT=MIN:OPT:MAX, .*got"):
        parse_profiles([text])


def test_two_profiles_of_one_input_are_refused() -> None:
    with pytest.raises(InputError, match="two profiles of image were given, the second is 'image=3x4'"):
        parse_profiles(["image=1x2", "image=3x4"])


def test_an_input_that_the_processor_does_not_make_is_named(classifier: Path) -> None:
    task = get_task("text-classification")
    with pytest.raises(InputError, match="the graph asks for position_ids, which its processor does not make"):
        derive_profiles(
            task, task.load_processor(classifier), ["input_ids", "position_ids"], Lengths(np.bincount([4])), (1,)
        )


@pytest.mark.export
@pytest.mark.parametrize(
    ("texts", "node", "what"),
    [
        (["other=1x2"], "other", r"a profile for an input that the graph lacks; it has image"),
        (["other=1x2"], "image", r"axes 0 are dynamic, and no profile bounds them"),
        (["image=1x3x8:2x3x8:4x3x8"], "image", r"has 4 axes, and its profile 3"),
        (["image=4x3x8x8:2x3x8x8:8x3x8x8"], "image", r"should have 1 <= minimum <= optimum <= maximum"),
        (["image=0x3x8x8:2x3x8x8:8x3x8x8"], "image", r"should have 1 <= minimum <= optimum <= maximum"),
        (["image=1x3x8x8:2x3x8x9:8x3x8x9"], "image", r"axis 3 is 8, and its profile says 8 to 9"),
    ],
)
def test_sizes_that_do_not_fit_the_graph_are_found(texts: list[str], node: str, what: str) -> None:
    import re

    found = {finding.node: finding for finding in lint(clean(), profiles=parse_profiles(texts))}
    assert found[node].rule == "profile"
    assert re.search(what, found[node].what)


@pytest.mark.export
def test_sizes_that_fit_are_no_finding_and_without_sizes_nothing_is_said() -> None:
    assert lint(clean(), profiles=parse_profiles(["image=1x3x8x8:8x3x8x8:32x3x8x8"])) == ()
    assert lint(clean(), profiles=None) == ()


def test_profiles_of_text_reach_from_one_short_row_to_the_largest_batch_of_the_longest(classifier: Path) -> None:
    task = get_task("text-classification")
    lengths = Lengths(np.bincount([4, 4, 10, 30]))
    found = derive_profiles(task, task.load_processor(classifier), ["input_ids", "attention_mask"], lengths, (1, 8))
    assert found == dict.fromkeys(["input_ids", "attention_mask"], Profile((1, 4), (8, 30), (8, 30)))
    assert shapes_text(found, "minimum") == "input_ids:1x4,attention_mask:1x4"


def test_profiles_of_images_differ_in_the_batch_alone(vit: Path) -> None:
    task = get_task("image-classification")
    found = derive_profiles(task, task.load_processor(vit), ["pixel_values"], Lengths(np.zeros(0, int)), (2, 4))
    low, usual, high = found["pixel_values"].minimum, found["pixel_values"].optimum, found["pixel_values"].maximum
    assert (low[0], usual[0], high[0]) == (1, 4, 4)
    assert low[1:] == usual[1:] == high[1:]


def test_further_sizes_widen_a_profile_and_leave_its_optimum() -> None:
    profiles = parse_profiles(["ids=1x8:16x40:32x60", "mask=1x8:16x40:32x60"])
    found = covering(profiles, [{"ids": (1, 16), "mask": (1, 16)}, {"ids": (8, 4), "mask": (48, 128)}])
    assert found == parse_profiles(["ids=1x4:16x40:32x60", "mask=1x8:16x40:48x128"])
    assert covering(profiles, []) == profiles
