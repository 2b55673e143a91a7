"""The stages that train: `finetune` and `distill`."""

#: Goes up when the same config would give other weights; part of the stage key.
STAGE_VERSION = 2
