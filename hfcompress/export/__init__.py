"""The `export` stage: ONNX through Optimum, and the proof that it answers alike."""

#: Goes up when the same config would give another graph; part of the stage key.
STAGE_VERSION = 2
