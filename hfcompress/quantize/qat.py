"""The `qat` stage: round the source as INT8 will, calibrate, train, save. The arithmetic is in `models/fake_quant/`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hfcompress.artifact import Artifact
from hfcompress.calibration.collectors import make_collector
from hfcompress.errors import InputError
from hfcompress.host import describe_host
from hfcompress.models.fake_quant.scheme import QuantScheme, TensorScheme
from hfcompress.models.loading import load_model
from hfcompress.quantize.rows import calibration_batches
from hfcompress.quantize.targets import Scheme, scheme_for
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
    said: dict[str, Any] = {"target": target.target, "reason": target.reason, "skip": list(config.skip)}

    def once(fields: dict[str, Any]) -> Artifact:
        processor = seeded_processor(inputs.source, run)
        arguments = arguments_for(run, fields, QATArguments)
        rows = run.data.prepared("train", processor, unlabeled=True)
        model = load_model(inputs.source.path, run.task, trust_remote_code=inputs.source.trusted).to(arguments.device)
        batches = CalibrationRows(model, run.data, processor, config.calibration.samples, run.seed)
        said.update(fake_quantize_(model, config, target, batches, run.seed))
        # Last: to fill a teacher's cache is long work, and what is wrong with the student is known by now.
        teacher = teacher_of(config, inputs, Taught(processor, len(rows), arguments), run)
        return train(Lesson(model, rows, processor, teacher), arguments, run, QATTrainer)

    _check_rows(run)
    carry_code(inputs.source, run)
    made = within_memory(once, {"freeze_after": config.freeze_after, **config.trainer_fields()}, run)
    layers = len(said["fake_quantized"])
    logger.info("%s: %d layers trained for %s (%s)", run.name, layers, target.target, target.reason)
    return replace(made, details={**(made.details or {}), **said})


def _check_rows(run: Run) -> None:
    if not len(run.data.rows.splits.get("train", ())):
        raise InputError(f"{run.name}: the training split has no rows to calibrate on; give data.splits.train some")


def fake_quantize_(
    model: PreTrainedModel,
    config: QatConfig,
    target: Scheme,
    batches: Iterable[Mapping[str, torch.Tensor]],
    seed: int = 0,
) -> dict[str, Any]:
    """Make a model round as a target wants it, with ranges of some batches.

    Args:
        model: in floating point; changed in place.
        config: what is smoothed, skipped, and how ranges are found.
        target: what will serve.
        batches: what the model takes, on its device; gone through once for each thing that is looked for.
        seed: of what SmoothQuant draws.

    Returns:
        What an artifact's manifest says of it: the layers that round, and what was smoothed.

    Raises:
        InputError: see `qat`.
    """
    from hfcompress.models.fake_quant import calibrate_, fold_batch_norm_, insert_fake_quant_
    from hfcompress.models.smooth import grid_of, smooth_

    scheme = quant_scheme(config, target)
    fold_batch_norm_(model)
    layers = insert_fake_quant_(model, scheme, (*config.skip, *(() if target.tables else _tables(model))))
    said: dict[str, Any] = {"fake_quantized": list(layers)}
    if config.smooth is not None:
        said["smooth"] = smooth_(model, batches, config.smooth.alpha, grid_of(scheme), seed=seed).details()
    calibrate_(model, batches, make_collector(config.calibration))
    return said


def _tables(model: PreTrainedModel) -> list[str]:
    from torch import nn

    return [name for name, module in model.named_modules() if isinstance(module, nn.Embedding)]


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
        whole_pairs=target.whole_pairs,
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
