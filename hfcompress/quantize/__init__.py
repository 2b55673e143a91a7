"""The `quantize` stage: INT8 for ONNX Runtime, thin over Optimum."""

#: Goes up when the same config would give another graph; part of the stage key.
STAGE_VERSION = 1
