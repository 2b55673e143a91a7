"""The `qat` stage: round the source as INT8 will, calibrate, train, save. The arithmetic is in `models/fake_quant/`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hfcompress.artifact import Artifact
from hfcompress.calibration.collectors import make_collector
from hfcompress.errors import InputError, StageError
from hfcompress.host import describe_host
from hfcompress.models.fake_quant.scheme import QuantScheme, TensorScheme
from hfcompress.models.loading import load_model
from hfcompress.quantize.rows import calibration_batches
from hfcompress.quantize.targets import Scheme, scheme_for
from hfcompress.recipe.quantization import SmoothQuantConfig
from hfcompress.recipe.training_stages import QatConfig
from hfcompress.stage import Inputs, Run
from hfcompress.tasks.data import Data
from hfcompress.training.stage_run import Lesson, arguments_for, carry_code, seeded_processor, train, within_memory
from hfcompress.training.stage_teachers import Taught, teacher_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)


def qat(config: QatConfig, inputs: Inputs, run: Run) -> Artifact:
    """Train the source for INT8, towards its teachers (its own fp32 weights, when none is named) and the labels.

    Raises:
        InputError: no rows to calibrate on, a source that is fake-quantized already, a layer without a twin (named), or
            nothing to quantize.
    """
    from hfcompress.training.qat_trainer import QATArguments, QATTrainer

    target = scheme_for(config.target, describe_host().flags)
    layers: tuple[str, ...] = ()

    def once(fields: dict[str, Any]) -> Artifact:
        nonlocal layers
        processor = seeded_processor(inputs.source, run)
        arguments = arguments_for(run, fields, QATArguments)
        rows = run.data.prepared("train", processor, unlabeled=True)
        teacher = teacher_of(config, inputs, Taught(processor, len(rows), arguments), run)
        model = load_model(inputs.source.path, run.task, trust_remote_code=inputs.source.trusted).to(arguments.device)
        batches = CalibrationRows(model, run.data, processor, config.calibration.samples, run.seed)
        layers = fake_quantize_(model, config, quant_scheme(config, target), batches)
        return train(Lesson(model, rows, processor, teacher), arguments, run, QATTrainer)

    _check_rows(run)
    carry_code(inputs.source, run)
    made = within_memory(once, {"freeze_after": config.freeze_after, **config.trainer_fields()}, run)
    logger.info("%s: %d layers trained for %s (%s)", run.name, len(layers), target.target, target.reason)
    said = {"target": target.target, "reason": target.reason, "fake_quantized": list(layers)}
    return replace(made, details={**(made.details or {}), **said})


def _check_rows(run: Run) -> None:
    if not len(run.data.rows.splits.get("train", ())):
        raise InputError(f"{run.name}: the training split has no rows to calibrate on; give data.splits.train some")


def fake_quantize_(
    model: PreTrainedModel, config: QatConfig, scheme: QuantScheme, batches: Iterable[Mapping[str, torch.Tensor]]
) -> tuple[str, ...]:
    """Make a model round as a scheme says, with ranges of some batches; gives the names of the layers that do.

    Args:
        model: in floating point; changed in place.
        config: what is smoothed, skipped, and how ranges are found.
        scheme: how tensors become integers.
        batches: what the model takes, on its device; gone through once for each thing that is looked for.

    Raises:
        InputError: see `qat`.
    """
    from hfcompress.models.fake_quant import calibrate_, fold_batch_norm_, insert_fake_quant_

    fold_batch_norm_(model)
    if config.smooth is not None:
        _smooth_(model, config.smooth, batches)
    layers = insert_fake_quant_(model, scheme, config.skip)
    calibrate_(model, batches, make_collector(config.calibration))
    return layers


def _smooth_(model: PreTrainedModel, smooth: SmoothQuantConfig, batches: Iterable[Mapping[str, torch.Tensor]]) -> None:
    """Move outliers of activations into weights, which changes no answer."""
    raise StageError("SmoothQuant before training is being built; leave `smooth` out of the `qat` stage")


def quant_scheme(config: QatConfig, target: Scheme) -> QuantScheme:
    """How tensors become integers for a target."""
    return QuantScheme(
        weights=TensorScheme(
            signed=target.signed_weights,
            symmetric=True,
            per_channel=config.per_channel,
            bits=7 if target.reduce_range else 8,
        ),
        activations=TensorScheme(
            signed=target.signed_activations, symmetric=target.symmetric_activations, per_channel=False
        ),
        learned=config.scales == "learned",
        attention_products=config.attention_products,
    )


@dataclass(frozen=True)
class CalibrationRows:
    """Training rows that a seed chooses, in batches of what a model takes, longest rows first.

    Iterated as often as needed, with one batch in memory at a time.

    Attributes:
        model: whose inputs the batches are, on its device.
        data: the run's rows.
        processor: what makes inputs of them.
        samples: how many rows; all, where there are fewer.
        seed: chooses them.
    """

    model: PreTrainedModel
    data: Data
    processor: Any
    samples: int
    seed: int

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        import torch

        from hfcompress.training.answers import unlabelled_inputs_of

        for batch in calibration_batches(self.data, self.processor, self.samples, self.seed):
            taken = unlabelled_inputs_of(self.model, batch)
            yield {name: torch.from_numpy(array).to(self.model.device) for name, array in taken.items()}
