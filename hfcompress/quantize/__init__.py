"""The stages `quantize` (INT8 after training, thin over Optimum) and `qat` (training for INT8)."""

#: Goes up when the same config would give another graph; part of the stage key.
STAGE_VERSION = 1
#: The same, of the `qat` stage.
QAT_VERSION = 1
