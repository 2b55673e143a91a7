"""The graph that ONNX Runtime makes of a graph before it runs it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


def optimized_graph(path: Path) -> Any:
    """The `onnx.GraphProto` after all optimizations for this host's CPU, without the weights.

    It is where one sees whether a Q/DQ pattern became an integer operator: in the file it is none.
    """
    import onnx
    import onnxruntime

    with TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3  # a warning that the written graph is for this host alone
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        weights = "session.optimized_model_external_initializers_file_name"
        options.add_session_config_entry(weights, "weights.bin")  # a graph of 2 GB or more cannot hold its own
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath, load_external_data=False).graph
