"""The `qat` stage: insert fake quantization, calibrate, train, save."""

from __future__ import annotations

from hfcompress.artifact import Artifact
from hfcompress.errors import StageError
from hfcompress.recipe.training_stages import QatConfig
from hfcompress.stage import Inputs, Run


def qat(config: QatConfig, inputs: Inputs, run: Run) -> Artifact:
    """Train the source for INT8."""
    raise StageError("training for INT8 is being built; leave the `qat` stage out")
