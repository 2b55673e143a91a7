"""The `quantize` stage: Optimum's quantizer with the scheme that the target wants, and a count of what it did."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from hfcompress.artifact import Artifact
from hfcompress.errors import StageError
from hfcompress.host import describe_host
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.operators import dequantized_product_count, integer_operator_count
from hfcompress.quantize.fallback import fall_back
from hfcompress.quantize.quantizer import quantizer_for
from hfcompress.quantize.rows import calibration_batches
from hfcompress.quantize.simulation import check_target
from hfcompress.quantize.targets import Scheme, runs_elsewhere, scheme_for
from hfcompress.recipe.stages import QuantizeConfig
from hfcompress.stage import Inputs, Run

logger = logging.getLogger(__name__)


def quantize(config: QuantizeConfig, inputs: Inputs, run: Run) -> Artifact:
    """Static INT8 where the config has a calibration, dynamic INT8 otherwise; less of it where a fallback says so."""
    source, scheme = inputs.source.path, scheme_for(config.target, describe_host().flags)
    task, samples = run.data.task, 0 if config.calibration is None else config.calibration.samples
    write = quantizer_for(
        config, source, scheme, lambda: calibration_batches(run.data, task.load_processor(source), samples, run.seed)
    )
    details = {"target": scheme.target, "reason": scheme.reason, **write.details}
    if config.fallback is None:
        write(run.out)
    else:
        floating = replace(inputs.source, path=write.floating(run.work / "floating" / inputs.source.path.name))
        details["fallback"] = fall_back(config.fallback, floating, write, run).model_dump(mode="json")
    details["integer_operators"] = count = counted(model_file(run.out), source, scheme)
    logger.info("%s: %d integer products for %s (%s)", run.name, count, scheme.target, scheme.reason)
    return Artifact(run.out, "onnx", details={**details, **check_target(run.out, scheme.target, run)})


def counted(path: Path, source: Path, scheme: Scheme) -> int:
    """How many products became integer: of a graph for a CPU, by ONNX Runtime here; of others, those between Q/DQ.

    Raises:
        StageError: none.
    """
    count = dequantized_product_count(path) if runs_elsewhere(scheme.target) else integer_operator_count(path)
    if count == 0:
        raise StageError(
            f"quantize found no MatMul with constant weights in {source.name}; INT8 would gain nothing; leave the "
            "stage out"
        )
    return count
