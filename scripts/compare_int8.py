"""What each way to INT8 costs and gains: the same model in fp32 and in seven kinds of INT8, measured in one run.

    python scripts/prepare_demo.py && hfcompress run recipes/sentiment-demo.yaml && python scripts/prepare_digits.py
    python scripts/compare_int8.py
    python scripts/compare_int8.py --only teacher student

Four models: the demo's teacher and student, and a small ViT and a small ResNet trained on scans of digits. For each, on
the test split: accuracy with its 95% interval, the paired difference to the fp32 export, throughput on a stream of rows
against ONNX Runtime in fp32 and against PyTorch, size, and how many operators multiply integers. A run that was stopped
goes on where it was; `runs/compare-int8/<model>/` holds each with its report.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hfcompress import run_recipe
from hfcompress.cli.console import Session
from hfcompress.recipe import parse_recipe
from hfcompress.results import ArtifactResult, Interval, Results

DEMO = Path("runs/sentiment-demo/artifacts")
REVIEWS = {"path": ".demo/reviews", "columns": {"text": "text", "label": "label"}, "max_length": 128}
DIGITS = {"path": ".demo/digits", "columns": {"image": "image", "label": "label"}}
BATCH = 32
#: Training of a digits model from random weights.
FROM_NOTHING = {"num_train_epochs": 40, "learning_rate": 1e-3, "per_device_train_batch_size": BATCH, "warmup_steps": 50}
#: Training for INT8, of a model that is trained already. At 2e-5 the teacher lost 0.6 points on validation that static
#: INT8 does not lose, at 5e-6 none.
FOR_INT8 = {"num_train_epochs": 1, "learning_rate": 5e-6, "per_device_train_batch_size": BATCH, "warmup_steps": 10}
FOR_INT8_DIGITS = {**FOR_INT8, "num_train_epochs": 5, "learning_rate": 1e-4}

MODELS: dict[str, dict[str, Any]] = {
    "teacher": {"task": "text-classification", "model": str(DEMO / "teacher"), "data": REVIEWS},
    "student": {"task": "text-classification", "model": str(DEMO / "student"), "data": REVIEWS},
    "vit": {"task": "image-classification", "model": ".demo/vit-digits", "data": DIGITS},
    "resnet": {"task": "image-classification", "model": ".demo/resnet-digits", "data": DIGITS},
}
METHODS = ("minmax", "entropy", "percentile")


def main() -> None:
    """Run each model's recipe, then print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--out", type=Path, default=Path("runs/compare-int8"))
    arguments = parser.parse_args()
    with Session("human") as session:
        results = {
            name: run_recipe(parse_recipe(recipe(name)), out=arguments.out / name, progress=session.progress)
            for name in arguments.only
        }
    for name, found in results.items():
        Console(width=120).print(table(name, found))


def recipe(name: str) -> dict[str, Any]:
    """All ways to INT8 of one model."""
    images = MODELS[name]["data"] is DIGITS
    torch = "trained" if images else "source"
    stages: dict[str, Any] = {"trained": {"finetune": {"training": FROM_NOTHING}}} if images else {}
    stages["fp32"] = {"from": torch, "export": {}}
    if name != "resnet":  # its only MatMul is the head
        stages["dynamic"] = quantized({})
    stages |= {f"static-{method}": quantized({"calibration": {"method": method}}) for method in METHODS}
    if name != "resnet":  # no layer norm, so no outliers to move
        stages["static-smooth"] = quantized({"calibration": {}, "smooth": "auto"})
    training = FOR_INT8_DIGITS if images else FOR_INT8
    for way, objectives in (("qat", {"kl_weight": 0, "label_weight": 1}), ("qat-taught", {})):
        stages[f"{way}-torch"] = {"from": torch, "qat": {**objectives, "training": training}}
        stages[way] = {"from": f"{way}-torch", "export": {}}
    return {
        "name": f"compare-int8-{name}",
        **MODELS[name],
        "baseline": "fp32",
        "seed": 0,
        "stages": stages,
        "benchmark": {"batch": [1], "sequence": [16], "repeats": 10, "stream": {"rows": 512, "passes": 5}},
    }


def quantized(config: dict[str, Any]) -> dict[str, Any]:
    """INT8 of the export. A way that is slower is a finding of the table, not a failure of the run."""
    return {"from": "fp32", "quantize": {**config, "allow_slower": True}}


def table(name: str, results: Results) -> Table:
    """One row an artifact that is deployed, and PyTorch."""
    known = {artifact.name: artifact for artifact in results.artifacts}
    torch = known["trained" if "trained" in known else "source"]
    shown = [torch, *(artifact for artifact in results.artifacts if artifact.format != "torch")]
    found = Table(title=f"{name}, {results.metric} on test", title_justify="left")
    for column in ("way", results.metric, "against fp32", "x ONNX fp32", "x PyTorch", "MB", "integer operators"):
        found.add_column(column, justify="left" if column == "way" else "right")
    for artifact in shown:
        found.add_row(*row(artifact, results.metric, known["fp32"], torch))
    return found


def row(artifact: ArtifactResult, metric: str, fp32: ArtifactResult, torch: ArtifactResult) -> list[str]:
    """The cells of one artifact."""
    value, apart = artifact.metrics[metric], artifact.difference.get(metric)
    return [
        "PyTorch fp32" if artifact is torch else artifact.name,
        in_points(value),
        "" if apart is None else in_points(apart, "+"),
        f"{artifact.throughput_per_s / fp32.throughput_per_s:.2f}",
        f"{artifact.throughput_per_s / torch.throughput_per_s:.2f}",
        f"{artifact.size_mb:.1f}",
        "" if artifact.integer_operators is None else str(artifact.integer_operators),
    ]


def in_points(value: Interval, sign: str = "") -> str:
    """Points with their interval."""
    low, high = (f"{100 * bound:{sign}.1f}" for bound in (value.low, value.high))
    return f"{100 * value.value:{sign}.1f} [{low}, {high}]"


if __name__ == "__main__":
    main()
