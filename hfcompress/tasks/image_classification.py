"""Image classification: one image to one label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from hfcompress.errors import DataError, ModelError
from hfcompress.intake.config import check_image_processor
from hfcompress.recipe.tasks import TaskName
from hfcompress.tasks.base import Collate
from hfcompress.tasks.classification import Classification

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image


class ImageClassification(Classification):
    """Images are decoded and resized batch by batch: pixels of a whole split would not fit into memory."""

    name: ClassVar[TaskName] = "image-classification"
    head: ClassVar[str] = "ForImageClassification"

    def model_class(self) -> Any:
        """`AutoModelForImageClassification`."""
        from transformers import AutoModelForImageClassification

        return AutoModelForImageClassification

    def load_processor(self, folder: Path) -> Any:
        """The folder's image processor, the one on PIL: torchvision is not needed."""
        check_image_processor(folder)
        from transformers import AutoImageProcessor

        try:
            return AutoImageProcessor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, **_on_pil()
            )
        except (OSError, ValueError) as error:
            raise ModelError(f"{folder} holds no image processor that can be loaded: {error}") from error

    def prepare(self, rows: Dataset, processor: Any, max_length: int, seed: int = 0) -> Dataset:
        """Only the label's name changes; pixels are made by the collator."""
        return rows.rename_column("label", "labels")

    def collate(self, processor: Any) -> Collate:
        """Images to `pixel_values` (N, C, H, W) float32."""

        def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
            batch = self.preprocess([row["image"] for row in rows], processor, 0)
            for name in ("labels", "row_id"):
                if name in rows[0]:
                    batch[name] = np.asarray([row[name] for row in rows], dtype=np.int64)
            return batch

        return collate

    def preprocess(self, examples: Sequence[Any], processor: Any, max_length: int) -> dict[str, np.ndarray]:
        """PIL images, or arrays (H, W) or (H, W, 3) of integers in 0..255."""
        if len(examples) == 0:
            raise DataError("no images were given; give at least one")
        images = [_rgb(example) for example in examples]
        pixels = processor(images=images, return_tensors="np")["pixel_values"]
        return {"pixel_values": np.asarray(pixels, dtype=np.float32)}

    def grid_batch(self, processor: Any, batch: int, sequence: int, seed: int) -> dict[str, np.ndarray]:
        """Noise, through the processor, so that the shape is the one that it serves."""
        noise = np.random.default_rng(seed).integers(0, 256, size=(64, 64, 3), dtype=np.uint8)
        pixels = self.preprocess([noise], processor, 0)["pixel_values"]
        return {"pixel_values": np.repeat(pixels, batch, axis=0)}

    def check_compatible(self, student: Any, teacher: Any) -> str | None:
        """Both processors must make the same pixels of a probe image."""
        probe = np.random.default_rng(0).integers(0, 256, size=(48, 64, 3), dtype=np.uint8)
        ours, theirs = (self.preprocess([probe], processor, 0)["pixel_values"] for processor in (student, teacher))
        if ours.shape != theirs.shape or not np.allclose(ours, theirs, atol=1e-6):
            return (
                f"their image processors make other pixels (shapes {ours.shape[1:]} and {theirs.shape[1:]}); "
                "choose a teacher with the student's image processor"
            )
        return None


def _on_pil() -> dict[str, Any]:
    from packaging.version import Version
    from transformers import __version__

    return {"use_fast": False} if Version(__version__) < Version("5") else {"backend": "pil"}


def _rgb(example: Any) -> Image:
    from PIL import Image

    if isinstance(example, Image.Image):
        if example.mode.startswith(("I", "F")):
            raise DataError(f"an image of mode {example.mode!r} has pixels of more than 8 bits; convert it to L or RGB")
        return example.convert("RGB")
    array = np.asarray(example)
    if array.ndim not in (2, 3) or array.size == 0 or (array.ndim == 3 and array.shape[2] != 3):
        got = f"an array {array.shape}" if array.ndim else type(example).__name__
        raise DataError(f"an image should be a PIL image or an array (H, W) or (H, W, 3), got {got}")
    if not np.issubdtype(array.dtype, np.integer):
        # 0.0..1.0 would become black.
        raise DataError(f"pixels should be integers in 0..255, got {array.dtype}; rescale and round them first")
    if array.min() < 0 or array.max() > 255:
        raise DataError(f"pixels should lie in 0..255, got {array.min()}..{array.max()}; rescale them first")
    return Image.fromarray(array.astype(np.uint8)).convert("RGB")
