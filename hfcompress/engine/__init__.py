"""The `engine` stage: TensorRT engines of an ONNX graph, through ONNX Runtime's execution provider."""

#: Goes up when the same config would give another engine; part of the stage key.
STAGE_VERSION = 1
