"""What was done, stage by stage, in sentences. From the recipe and the manifests; nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from hfcompress.hub.card_facts import CardFacts
from hfcompress.hub.local_paths import published_name
from hfcompress.recipe.graph import inputs_of
from hfcompress.recipe.objectives import Part, SoftLoss
from hfcompress.recipe.quantization import Calibration, SmoothQuantConfig
from hfcompress.recipe.recipe import Recipe
from hfcompress.recipe.schema import ModelRef
from hfcompress.recipe.stages import EngineConfig, ExportConfig, QuantizeConfig, StageConfig
from hfcompress.recipe.training_stages import DistillConfig, FinetuneConfig, QatConfig, TaughtConfig
from hfcompress.report.figures import number

_DONE = {
    "finetune": "fine-tuned",
    "distill": "distilled into a student",
    "qat": "trained for INT8",
    "export": "exported to ONNX",
    "quantize": "quantized to INT8",
    "engine": "built for TensorRT",
}
_SOFT_LOSSES: Mapping[SoftLoss, str] = {
    "forward_kl": "the KL divergence from the teacher's outputs (Hinton et al. 2015)",
    "reverse_kl": "the reverse KL divergence from the teacher's outputs",
    "jsd": "the generalized Jensen-Shannon divergence from the teacher's outputs (Agarwal et al. 2024)",
    "mse": "the squared error to the teacher's outputs",
    "cosine": "the cosine distance to the teacher's embeddings",
}
_PARTS: Mapping[Part, str] = {
    "label": "the task's own loss on the labels",
    "hidden": "hidden states towards the teacher's",
    "relations": "query, key and value relations towards the teacher's (Wang et al. 2021)",
    "attention": "attention scores towards the teacher's (Jiao et al. 2020)",
}


@dataclass(frozen=True)
class StageStory:
    """One stage.

    Attributes:
        name: of the stage, and of its artifact.
        heading: what it does to what.
        sentences: how, and what was found.
        arguments: of its training, as the recipe gives them.
    """

    name: str
    heading: str
    sentences: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...] = ()


def stories(facts: CardFacts) -> tuple[StageStory, ...]:
    """Every stage that the published artifacts are made by."""
    return tuple(_story(facts, name) for name in facts.history)


def _story(facts: CardFacts, name: str) -> StageStory:
    stage, manifest = facts.recipe.stages[name], facts.manifests.get(name)
    details: Mapping[str, Any] = {} if manifest is None else manifest.details
    training: Mapping[str, Any] = getattr(stage.config, "training", {})
    source = facts.recipe.source_of(name)
    return StageStory(
        name,
        f"{source}, {_DONE[stage.verb]}",
        tuple(_sentences(facts, name, stage.config, details)),
        tuple(
            (key, published_name(value) if isinstance(value, str) else str(value)) for key, value in training.items()
        ),
    )


def _sentences(facts: CardFacts, name: str, config: StageConfig, details: Mapping[str, Any]) -> Iterator[str]:
    match config:
        case FinetuneConfig():
            yield "It learns from the labels of the training split."
        case DistillConfig():
            yield from _student(facts.recipe, name, config)
            yield from _objectives(facts, name, config)
        case QatConfig():
            yield from _rounding(config, details)
            yield from _objectives(facts, name, config)
        case ExportConfig():
            yield from _export(details)
        case QuantizeConfig():
            yield from _quantization(config, details)
        case EngineConfig():
            yield f"TensorRT computes it in {config.precision}, on the GPU that it was built on."
        case _:
            assert_never(config)
    if "steps" in details:
        yield f"It took {details['steps']:,} optimizer steps.{_last_loss(details.get('losses') or ())}"


def _last_loss(losses: Any) -> str:
    last = losses[-1] if losses else {}
    return f" The last loss that was logged was {number(last['loss'])}." if "loss" in last else ""


def _student(recipe: Recipe, name: str, config: DistillConfig) -> Iterator[str]:
    student, source = config.student, recipe.source_of(name)
    if student.keep_layers is not None:
        yield f"The student starts as layers {', '.join(map(str, student.keep_layers))} of {source}."
    elif student.model is not None:
        yield f"The student starts as {_named(inputs_of(recipe, name).student)}."
    elif student.config is not None:
        fields = ", ".join(f"{key} {value}" for key, value in student.config.items())
        yield f"The student starts with random weights: the configuration of {source}, with {fields}."
    else:
        yield f"The student starts as {source}."
    if student.architecture is not None:
        yield f"Its architecture is {student.architecture}."


def _objectives(facts: CardFacts, name: str, config: TaughtConfig) -> Iterator[str]:
    taught_by = [_named(teacher) for teacher in inputs_of(facts.recipe, name).teachers]
    parts = config.parts()
    if any(part != "label" for part in parts):
        how = "the best of" if config.teacher_choice == "best" else "the average of" if len(taught_by) > 1 else ""
        yield f"Its teacher is {' '.join([how, ' and '.join(taught_by)]).strip()}."
    weights = config.weights()
    yield f"The loss is {' plus '.join(f'{weights[part]:g} times {_part(facts, config, part)}' for part in parts)}."
    for part, schedule in config.schedules.items():
        yield f"The weight of the part {part} moves to {schedule.end:g} over training ({schedule.shape})."


def _part(facts: CardFacts, config: TaughtConfig, part: Part) -> str:
    if part != "kl":
        return _PARTS[part]
    soft_loss = config.soft_loss or _default_soft_loss(facts)
    tempered = soft_loss in ("forward_kl", "reverse_kl", "jsd")
    return _SOFT_LOSSES[soft_loss] + (f" at temperature {config.temperature:g}" if tempered else "")


def _default_soft_loss(facts: CardFacts) -> SoftLoss:
    """What compares outputs where the recipe does not say it: see `DistillationObjectives`."""
    if facts.recipe.task == "feature-extraction":
        return "cosine"
    return "mse" if facts.problem == "regression" else "forward_kl"


def _rounding(config: QatConfig, details: Mapping[str, Any]) -> Iterator[str]:
    scales = "learned (LSQ; Esser et al. 2020)" if config.scales == "learned" else "a moving average of ranges"
    yield f"It rounds in training what INT8 will round. Scales are {scales}, and {_calibration(config.calibration)}."
    yield from _scheme(config.per_channel, config.smooth, config.skip, details)


def _quantization(config: QuantizeConfig, details: Mapping[str, Any]) -> Iterator[str]:
    if config.calibration is None:
        yield "Dynamic INT8: the ranges of activations are taken from each batch as it comes."
    else:
        yield f"Static INT8: the ranges of activations {_calibration(config.calibration)}."
    yield from _scheme(config.per_channel, config.smooth, config.skip, details)
    if "integer_operators" in details:
        yield f"{details['integer_operators']} operators of the graph multiply integers."
    steps = (details.get("fallback") or {}).get("steps") or ()
    if steps and steps[-1].get("returned"):
        yield f"{len(steps[-1]['returned'])} layers were returned to floating point to hold the metrics."


def _calibration(config: Calibration) -> str:
    method = f"{config.method} ({config.percentile:g})" if config.method == "percentile" else config.method
    return f"were calibrated by {method} on {config.samples:,} rows of the training split at most"


def _scheme(
    per_channel: bool, smooth: SmoothQuantConfig | None, skip: tuple[str, ...], details: Mapping[str, Any]
) -> Iterator[str]:
    yield f"Weights have one scale for each {'output channel' if per_channel else 'tensor'}."
    if "target" in details:
        yield f"Made for {details['target']}: {details.get('reason', '')}."
    if smooth is not None:
        yield f"Outliers of activations were moved into weights first (SmoothQuant, alpha {smooth.alpha})."
    if skip:
        yield f"In floating point stay: {', '.join(skip)}."


def _export(details: Mapping[str, Any]) -> Iterator[str]:
    if "largest_difference" in details:
        yield (
            f"Compared with PyTorch on the validation rows: outputs differ by {details['largest_difference']:.2g} at "
            f"most, and {details['tolerance']:.2g} was allowed."
        )
    if details.get("dtype") == "fp16":
        yield (
            "It is stored and computed in float16, with inputs and outputs in float32: outputs differ by "
            f"{details['fp16_largest_difference']:.2g} of their standard deviation at most, and "
            f"{details['fp16_tolerance']:.2g} was allowed."
        )
    if details.get("first_token_nodes"):
        yield "Its last layer is computed for the first token alone, the only one that the head reads."
    if "integer_layers" in details:
        yield f"{details['integer_layers']} layers multiply integers."


def _named(model: str | ModelRef | None) -> str:
    if model is None or isinstance(model, str):
        return model or "nothing"
    revision = "" if model.revision is None else f" at revision {model.revision}"
    return published_name(model.id) + revision
