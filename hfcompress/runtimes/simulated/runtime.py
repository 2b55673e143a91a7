"""An ONNX artifact as another CPU would answer: a runtime like any other, and slower."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from hfcompress.errors import InputError
from hfcompress.extras import require
from hfcompress.onnx_graph.file import model_file
from hfcompress.runtimes.base import check_inputs
from hfcompress.runtimes.onnxruntime import CPU, OnnxRuntime, session_options
from hfcompress.runtimes.simulated.products import MatMul, compute, weight_matrix
from hfcompress.runtimes.simulated.saturation import can_saturate, exact_matmul, saturating_matmul
from hfcompress.runtimes.simulated.segments import Segment, cut

#: The kinds of CPU that can be simulated.
SimulatedCpu = Literal["avx2", "avx512", "avx512_vnni", "arm64"]
#: Those whose U8S8 products saturate at 16 bits.
SATURATING: frozenset[SimulatedCpu] = frozenset({"avx2", "avx512"})


class SimulatedRuntime:
    """ONNX Runtime with the 8-bit products of a given CPU.

    ONNX Runtime optimizes the graph as it would to run it, so that the products are those that will be integer. The
    graph is cut at those whose weights can saturate: torch computes them, ONNX Runtime everything in between. Every
    other product gives the same integers on every CPU. Floating point stays that of this host: another CPU's differs
    in the last bits, which may move a value by one step of its quantization.

    Args:
        path: a folder with exactly one .onnx file, or the file.
        cpu: what to simulate.
        threads: cores of the segments that ONNX Runtime runs; default: all that this process may use.

    Attributes:
        products: names of the products whose weights can saturate -> the share of their pairs of weights that can.

    Raises:
        InputError: there is no such CPU.
        ExtraError: ONNX Runtime or onnx is not installed.
        ModelError: no graph, several, or one that cannot be run or simulated.
    """

    def __init__(self, path: Path, cpu: str, threads: int | None = None) -> None:
        if cpu not in get_args(SimulatedCpu):
            raise InputError(f"there is no CPU {cpu!r} to simulate; choose one of {', '.join(get_args(SimulatedCpu))}")
        require("onnxruntime", "simulating another CPU")
        self.name = f"simulated:{cpu}"
        # Opened as it is first: that refuses what cannot be run, and casts inputs.
        self._whole = OnnxRuntime(path, threads=threads)
        self.threads = self._whole.threads
        self._matmul: MatMul = saturating_matmul if cpu in SATURATING else exact_matmul
        self._options = session_options(CPU, self.threads)
        self._model = optimized_for(model_file(path), cpu)
        found = saturable(self._model)
        self.products = {node.name: share for node, share in found}
        self._constants: dict[str, np.ndarray] = {}
        self._segments = self._cut({node.output[0] for node, _ in found})

    @property
    def input_names(self) -> tuple[str, ...]:
        """The inputs of the graph; it needs all of them."""
        return self._whole.input_names

    def predict(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of the graph. See `Runtime.predict`."""
        check_inputs(batch, self.input_names, self.name)
        values: dict[str, Any] = self._whole.inputs_of(batch)
        for segment in self._segments:
            values |= segment.run(self._model, values, self._options)
            for node in segment.cuts:
                inputs = [self._constants.get(name, values.get(name)) for name in node.input]
                values[node.output[0]] = compute(node, inputs, self._matmul)
        return {value.name: values[value.name] for value in self._model.graph.output}

    def _cut(self, at: set[str]) -> list[Segment]:
        from onnx import numpy_helper

        segments = cut(self._model.graph, at)
        taken = {name for segment in segments for node in segment.cuts for name in node.input}
        constants = (tensor for tensor in self._model.graph.initializer if tensor.name in taken)
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in constants}
        return segments


def optimized_for(graph: Path, cpu: str) -> Any:
    """The graph that ONNX Runtime runs on a kind of CPU, with the products that it has fused to integer ones.

    Layouts that depend on this host (level 3 of its optimizations) are not in it.
    """
    import onnx
    import onnxruntime

    options = session_options(CPU, 1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    # Elsewhere than on Arm int8 activations of a Q/DQ graph become uint8.
    options.add_session_config_entry("session.qdqisint8allowed", "1" if cpu == "arm64" else "0")
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        onnxruntime.InferenceSession(str(graph), options, providers=[CPU])
        return onnx.load(options.optimized_model_filepath)


def saturable(model: Any) -> list[tuple[Any, float]]:
    """The products of an optimized graph whose weights can saturate without VNNI, and the share of such pairs."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = ((node, weight_matrix(node, constants)) for node in model.graph.node)
    shares = [(node, float(can_saturate(matrix).mean())) for node, matrix in weights if matrix is not None]
    return [(node, share) for node, share in shares if share > 0]
