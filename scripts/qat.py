"""Train one model for INT8 without a recipe: a plain script, alone, under `accelerate launch` or under torchrun.

    python scripts/qat.py --model runs/demo/artifacts/student --teacher runs/demo/artifacts/teacher \
        --dataset .demo/reviews --output_dir out/aware --num_train_epochs 1 --learning_rate 5e-5
    accelerate launch scripts/qat.py --config qat.yaml --seed 1

Every field of `ModelArguments`, `RoundingArguments`, `DataArguments` and `hfcompress.QATArguments` is an option
(`--help`), and a key of the YAML file; options win over the file. Run it again to go on from the newest intact
checkpoint in `output_dir`; another training wants another `output_dir`. The fake-quantized model is left there;
`hfcompress.export_onnx` writes it as INT8.

It measures nothing and writes no manifest: `hfcompress run` does, and trains with the same code.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import transformers

from hfcompress import QATArguments, QATTrainer
from hfcompress.cli import training_script
from hfcompress.cli.training_script import DataArguments, OneStage
from hfcompress.host import describe_host
from hfcompress.models.loading import load_model
from hfcompress.quantize.qat import CalibrationRows, fake_quantize_
from hfcompress.quantize.targets import scheme_for
from hfcompress.recipe.recipe import SOURCE


@dataclass
class ModelArguments:
    """Which model learns from which."""

    model: str = field(metadata={"help": "What is trained for INT8: a fine-tuned model, a folder or a Hub id."})
    teacher: list[str] | None = field(
        default=None, metadata={"help": "Folders or Hub ids of one teacher or several; default: --model."}
    )
    task: str = field(default="text-classification", metadata={"help": "As in a recipe."})
    trust_remote_code: bool = field(default=False, metadata={"help": "Let a model run code of its own."})


@dataclass
class RoundingArguments:
    """How it is rounded: the keys of a `qat` stage."""

    target: str = field(default="auto", metadata={"help": "The CPU that will serve; auto: this one."})
    per_channel: bool = field(default=True, metadata={"help": "One scale for each output channel of a weight."})
    scales: str = field(default="learned", metadata={"help": "learned (LSQ), or moving_average of the ranges seen."})
    attention_products: bool = field(
        default=False, metadata={"help": "Also round the factors of the two products of activations in each attention."}
    )
    skip: list[str] = field(
        default_factory=list, metadata={"help": "Layers that stay in floating point, with * as in file names."}
    )
    smooth: str | None = field(
        default=None,
        metadata={"help": "Move outliers into weights first (SmoothQuant): auto, or an alpha."},
    )
    calibration: str = field(default="minmax", metadata={"help": "minmax, entropy or percentile."})
    percentile: float | None = field(default=None, metadata={"help": "Of |values| within the range, for percentile."})
    calibration_samples: int = field(default=256, metadata={"help": "Training rows that scales start from."})


def main() -> None:
    """Parse, train, save."""
    kinds = (ModelArguments, RoundingArguments, DataArguments, QATArguments)
    model, rounding, data, arguments = training_script.parse(kinds, sys.argv[1:])
    training_script.shared_folder(arguments)
    plan = stage_of(model, rounding).plan(data, arguments.seed)
    config = plan.recipe.stages["aware"].qat
    if config is None:
        raise TypeError("the plan of this script has a stage that trains for INT8")
    models = {SOURCE: plan.source, **plan.outside}
    processor = plan.data.task.load_processor(plan.source.path)
    target = scheme_for(config.target, describe_host().flags)

    def load(folder: Path) -> transformers.PreTrainedModel:
        return load_model(folder, plan.data.task.name, trust_remote_code=plan.source.trusted)

    def make_trainer() -> QATTrainer:
        aware = load(plan.source.path).to(arguments.device)
        rows = CalibrationRows(aware, plan.data, processor, config.calibration.samples, arguments.seed)
        fake_quantize_(aware, config, target, rows, arguments.seed)
        return QATTrainer(
            model=aware,
            teacher=[load(models[name].path) for name in plan.teachers_of("aware")],
            args=arguments,
            **training_script.data_of(plan, processor, arguments),
        )

    training_script.fit(make_trainer, arguments, processor, "the model")


def stage_of(model: ModelArguments, rounding: RoundingArguments) -> OneStage:
    """The stage of a recipe that would do the same."""
    given = asdict(rounding)
    calibration = {"method": given.pop("calibration"), "samples": given.pop("calibration_samples")}
    if (percentile := given.pop("percentile")) is not None:
        calibration["percentile"] = percentile
    given["calibration"] = calibration
    config = {**given, "teacher": model.teacher or []}
    return OneStage("aware", "qat", config, model.task, model.model, model.trust_remote_code)


if __name__ == "__main__":
    training_script.run(main)
