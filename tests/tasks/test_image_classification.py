"""Images: the processor's own pixels, whatever a picture comes as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pil

from hfcompress.errors import DataError, ModelError
from hfcompress.tasks.image_classification import ImageClassification

TASK = ImageClassification()
RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
GRAY = RNG.integers(0, 256, (20, 30), dtype=np.uint8)


@pytest.fixture(scope="module")
def processor(vit: Path) -> Any:
    return TASK.load_processor(vit)


def pixels(processor: Any, *images: Any) -> np.ndarray:
    return TASK.preprocess(images, processor, 0)["pixel_values"]


def test_the_processor_is_not_built_on_torchvision(processor: Any) -> None:
    from transformers.image_processing_utils import BaseImageProcessor

    assert isinstance(processor, BaseImageProcessor)
    assert not getattr(processor, "is_fast", False)
    bases = {base.__name__ for base in type(processor).__mro__}
    assert not {name for name in bases if "Fast" in name or "orchvision" in name}


def test_pixels_are_the_processors_own(processor: Any) -> None:
    images = [Pil.fromarray(COLOUR), Pil.fromarray(COLOUR[::-1].copy())]
    expected = processor(images=images, return_tensors="np")["pixel_values"]
    made = pixels(processor, *images)
    np.testing.assert_array_equal(made, expected)
    assert made.dtype == np.float32
    assert made.shape == (2, 3, 16, 16)


def test_an_array_is_its_picture(processor: Any) -> None:
    picture = Pil.fromarray(COLOUR)
    for array in (COLOUR, COLOUR.astype(np.int64), COLOUR.tolist()):
        np.testing.assert_array_equal(pixels(processor, array), pixels(processor, picture))


def test_a_gray_picture_is_gray_in_every_channel(processor: Any) -> None:
    expected = pixels(processor, np.stack([GRAY] * 3, axis=-1))
    np.testing.assert_array_equal(pixels(processor, GRAY), expected)
    np.testing.assert_array_equal(pixels(processor, Pil.fromarray(GRAY)), expected)


def test_transparency_is_left_out(processor: Any) -> None:
    alpha = np.concatenate([COLOUR, GRAY[..., None]], axis=-1)
    np.testing.assert_array_equal(pixels(processor, Pil.fromarray(alpha)), pixels(processor, COLOUR))


def test_a_picture_with_a_palette_is_its_colours(processor: Any) -> None:
    palette = Pil.fromarray(COLOUR).quantize(16)
    np.testing.assert_array_equal(pixels(processor, palette), pixels(processor, palette.convert("RGB")))


def test_pictures_of_several_sizes_share_a_batch(processor: Any) -> None:
    made = pixels(processor, COLOUR, GRAY[:7, :9])
    np.testing.assert_array_equal(made[1:], pixels(processor, GRAY[:7, :9]))


@pytest.mark.parametrize(
    "image, message",
    [
        (COLOUR / 255, "integers in 0..255, got float64"),
        (GRAY > 100, "integers in 0..255, got bool"),
        (COLOUR.astype(np.int64) + 1, r"lie in 0..255, got \d+..256"),
        (COLOUR.astype(np.int64) - 300, "lie in 0..255, got -300"),
        (COLOUR.transpose(2, 0, 1), r"got an array \(3, 20, 30\)"),
        (COLOUR[..., :2], r"got an array \(20, 30, 2\)"),
        (COLOUR[None], r"got an array \(1, 20, 30, 3\)"),
        (COLOUR[:0], r"got an array \(0, 30, 3\)"),
        ("cat.png", "got str"),
        (None, "got NoneType"),
        (Pil.fromarray(GRAY.astype(np.int32)), "mode 'I' has pixels of more than 8 bits"),
        (Pil.fromarray(GRAY.astype(np.float32)), "mode 'F'"),
    ],
)
def test_what_would_become_another_picture_is_refused(processor: Any, image: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        pixels(processor, image)


def test_no_images_are_refused(processor: Any) -> None:
    with pytest.raises(DataError, match="no images"):
        pixels(processor)


def test_prepared_rows_are_pixels_only_when_they_are_collated(processor: Any) -> None:
    features = Features({"image": Image(), "label": Value("int64"), "row_id": Value("int64")})
    rows = Dataset.from_dict({"image": [COLOUR, GRAY], "label": [1, 0], "row_id": [5, 6]}, features=features)
    prepared = TASK.prepare(rows, processor, 0)
    assert set(prepared.column_names) == {"image", "labels", "row_id"}
    batch = TASK.collate(processor)([prepared[0], prepared[1]])
    np.testing.assert_array_equal(batch["pixel_values"], pixels(processor, COLOUR, GRAY))
    assert batch["labels"].tolist() == [1, 0]
    assert batch["row_id"].tolist() == [5, 6]


def test_a_made_up_batch_has_the_processors_shape(processor: Any) -> None:
    batch = TASK.grid_batch(processor, 4, 99, 0)["pixel_values"]
    assert batch.shape == (4, 3, 16, 16)
    np.testing.assert_array_equal(batch, TASK.grid_batch(processor, 4, 1, 0)["pixel_values"])


def test_processors_that_make_other_pixels_are_not_compatible(processor: Any, vit: Path) -> None:
    same, smaller, darker = (TASK.load_processor(vit) for _ in range(3))
    smaller.size = {"height": 8, "width": 8}
    darker.image_mean = [0.1, 0.1, 0.1]
    assert TASK.check_compatible(processor, same) is None
    assert "(3, 16, 16) and (3, 8, 8)" in str(TASK.check_compatible(processor, smaller))
    assert "other pixels" in str(TASK.check_compatible(processor, darker))


def test_a_folder_without_an_image_processor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no image processor that can be loaded"):
        TASK.load_processor(tmp_path)
