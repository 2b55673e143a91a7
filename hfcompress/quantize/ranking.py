"""Which layers cost most in INT8: by the error of their own outputs, and one at a time by that of the model's outputs.

One at a time means: this layer alone is quantized and all others stay in floating point (Wu et al. 2020, Integer
Quantization for Deep Learning Inference, section 5.2). The other way round, one layer alone in floating point, hides a
ruinous layer behind another one: with two of them, returning either changes nothing.

Metrics of a few hundred rows are too coarse to rank by: most layers change no prediction at all. So the ranking is by
the squared error of the outputs against the source's, over the outputs squared; metrics are reported beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hfcompress.artifact import Artifact
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.side_by_side import write_side_by_side
from hfcompress.results import RankedLayer
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.stage import Judge, Score

#: Writes INT8 of a search's source into an empty folder, the nodes of these names left in floating point.
Quantize = Callable[[Path, Sequence[str]], object]
Batches = Iterator[Mapping[str, np.ndarray]]

#: Layers that are measured one at a time at once: as many quantizations, and passes over the ranking's rows.
GROUP = 16


@dataclass
class Ranking:
    """The quantized layers of a graph, costliest first.

    They come sorted by the error of their own outputs, which takes one pass for all. Of the first `GROUP` of them each
    is then quantized alone, and they are sorted by what that costs; the next `GROUP` only when they are asked for.

    Attributes:
        source: the float model.
        quantized: its INT8 model, all layers quantized.
        quantize: makes another one.
        judge: its rows.
        work: a folder for what is tried.
        layers: every layer with what is known of it, in order.
    """

    source: Artifact
    quantized: Artifact
    quantize: Quantize
    judge: Judge
    work: Path
    layers: list[RankedLayer] = field(init=False)

    def __post_init__(self) -> None:
        self.layers = self._by_output_error()

    def costliest_first(self) -> Iterator[str]:
        """Names of layers; measures as it goes."""
        reference = self.judge.score(self.source)
        for start in range(0, len(self.layers), GROUP):
            group = slice(start, start + GROUP)
            measured = [self._alone(layer, reference) for layer in self.layers[group]]
            self.layers[group] = sorted(measured, key=lambda layer: layer.cost or 0.0, reverse=True)
            yield from (layer.layer for layer in self.layers[group])

    def _by_output_error(self) -> list[RankedLayer]:
        errors = output_errors(self.source.path, self.quantized.path, self.judge.batches(self.source), self.work)
        ranked = sorted(errors, key=lambda name: errors[name], reverse=True)
        return [RankedLayer(layer=name, output_error=errors[name]) for name in ranked]

    def _alone(self, layer: RankedLayer, reference: Score) -> RankedLayer:
        others = [other.layer for other in self.layers if other.layer != layer.layer]
        with TemporaryDirectory(dir=self.work) as name:
            self.quantize(Path(name), others)
            alone = Artifact(Path(name), "onnx")
            cost = model_error(self.source.path, alone.path, self.judge.batches(self.source))
            difference = dict(self.judge.score(alone, reference).difference)
        return layer.model_copy(update={"cost": cost, "difference": difference})


def output_errors(source: Path, quantized: Path, batches: Batches, work: Path) -> dict[str, float]:
    """The error of each layer's own output, on the inputs that it has in the float model.

    Args:
        source, quantized: folders of the float graph and of its INT8 graph.
        batches: rows for the float model.
        work: a folder for a graph that holds both.

    Returns:
        Layer -> sum of squared errors over sum of squared outputs; its SQNR in dB is -10 log10 of that.
    """
    with TemporaryDirectory(dir=work) as name:
        graph = Path(name) / "side_by_side.onnx"
        layers = write_side_by_side(model_file(source), model_file(quantized), graph)
        sums: dict[str, float] = {}
        if layers:
            runtime = OnnxRuntime(graph)
            for batch in batches:
                for output, value in runtime.predict(batch).items():
                    sums[output] = sums.get(output, 0.0) + float(value)
    return {layer: _ratio(sums[f"error/{layer}"], sums[f"power/{layer}"]) for layer in layers}


def model_error(source: Path, other: Path, batches: Batches) -> float:
    """The squared error of all outputs of one model against those of another, over the squared outputs of `source`."""
    ours, theirs = OnnxRuntime(source), OnnxRuntime(other)
    error = power = 0.0
    for batch in batches:
        answers = theirs.predict(batch)
        for name, expected in ours.predict(batch).items():
            error += float(np.square(answers[name].astype(np.float64) - expected).sum())
            power += float(np.square(expected.astype(np.float64)).sum())
    return _ratio(error, power)


def _ratio(error: float, power: float) -> float:
    """Of an output that is always 0 any error is all there is."""
    if power > 0:
        return error / power
    return 0.0 if error == 0 else 1.0
