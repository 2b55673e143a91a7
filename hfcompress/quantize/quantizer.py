"""What writes INT8 of one fp32 folder, as often as wanted: everything that is found out first is found out once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.errors import StageError
from hfcompress.extras import require
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.operators import is_quantized
from hfcompress.quantize.dynamic import quantize_dynamic
from hfcompress.quantize.layers import skipped
from hfcompress.quantize.smooth import smoother
from hfcompress.quantize.static import Calibrated, calibrate, quantize_static
from hfcompress.quantize.targets import Scheme
from hfcompress.recipe.stages import QuantizeConfig

#: Gives the rows to calibrate on, the same ones each time; called for static INT8 alone, and once more for `smooth`.
Rows = Callable[[], Iterator[dict[str, np.ndarray]]]


@dataclass(frozen=True)
class Quantizer:
    """Writes INT8; see `quantizer_for`.

    Attributes:
        source: the fp32 folder.
        scheme: the target's.
        per_channel: one scale for each output channel of a weight.
        skip: names of nodes that stay in floating point.
        calibrated: for static INT8; None: dynamic.
    """

    source: Path
    scheme: Scheme
    per_channel: bool
    skip: frozenset[str]
    calibrated: Calibrated | None

    def __call__(self, out: Path, excluded: Collection[str] = ()) -> Path:
        """Write into a folder, but for the nodes of these names too; gives the graph's path."""
        kept = self.skip.union(excluded)
        if self.calibrated is None:
            return quantize_dynamic(self.source, out, self.scheme, per_channel=self.per_channel, excluded=kept)
        return quantize_static(self.calibrated, out, self.scheme, per_channel=self.per_channel, excluded=kept)

    @property
    def details(self) -> dict[str, Any]:
        """For the manifest: what was smoothed."""
        smoothed = None if self.calibrated is None else self.calibrated.smoothed
        return {} if smoothed is None else {"smooth": smoothed.details()}

    def floating(self, folder: Path) -> Path:
        """A folder with the fp32 graph that is rounded: the source, or `folder` with what calibration made of it."""
        if self.calibrated is None:
            return self.source
        import onnx

        shutil.rmtree(folder, ignore_errors=True)  # what a search that was stopped left
        shutil.copytree(self.source, folder, ignore=shutil.ignore_patterns("*.onnx*", "manifest.json"))
        onnx.save(self.calibrated.model, folder / "model.onnx")
        return folder


def quantizer_for(config: QuantizeConfig, source: Path, scheme: Scheme, rows: Rows) -> Quantizer:
    """What quantizes a source; a static one is calibrated here, once, however often it writes.

    Args:
        config: the stage's; its `fallback` is not read.
        source: a folder with one fp32 graph.
        scheme: the target's.
        rows: what it is calibrated on.

    Raises:
        ExtraError: Optimum is not installed.
        InputError: the target, `skip`, the rows or the graph's operator set do not fit.
        StageError: the source is quantized already, or holds nothing to quantize.
    """
    require("onnxruntime", "the `quantize` stage")
    import onnx

    path = model_file(source)
    if is_quantized(path):
        raise StageError(f"{source.name} is quantized already; give `from` the fp32 export")
    skip = skipped(onnx.load(path, load_external_data=False).graph, config.skip)
    calibrated = None
    if config.calibration is not None:
        smooth = None if config.smooth is None else smoother(config, scheme, rows, skip)
        calibrated = calibrate(source, scheme, config.calibration, rows(), skip, smooth)
    return Quantizer(source, scheme, config.per_channel, skip, calibrated)
