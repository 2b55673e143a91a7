"""Facts of a made-up run, for cards: the figures of `tests/report/examples.py`, with manifests."""

from __future__ import annotations

from typing import Any

from hfcompress.artifact import FileEntry, Manifest
from hfcompress.hub.card_facts import CardFacts
from hfcompress.hub.places import place
from hfcompress.recipe import parse_recipe
from hfcompress.recipe.recipe import Recipe
from hfcompress.results import ClassResult, DataSource, Flips, Results, SourceModel, SplitData
from tests.report import examples

TOKENIZER = {name: FileEntry(sha256=name, size=1) for name in ("config.json", "tokenizer.json")}
WEIGHTS = {"torch": "model.safetensors", "onnx": "model.onnx", "openvino": "openvino_model.xml"}


def manifest(name: str, stage: str, format: str = "torch", **changes: Any) -> Manifest:
    """One artifact with one file of weights, and a tokenizer that all share."""
    model = "model_quantized.onnx" if stage == "quantize" else WEIGHTS[format]
    fields: dict[str, Any] = {
        "name": name,
        "stage": stage,
        "format": format,
        "task": "text-classification",
        "files": {**TOKENIZER, model: FileEntry(sha256=name, size=1)},
        "key": "0" * 64,
        "recipe": {},
        "parents": {},
        "versions": {"torch": "2.13.0"},
        "seed": 0,
        "host": {},
        "details": {"max_length": 128},
    }
    return Manifest(**(fields | changes))


def recipe(**changes: Any) -> Recipe:
    """The recipe of `examples.demo`."""
    return parse_recipe(
        {
            "name": "sentiment-demo",
            "task": "text-classification",
            "model": "someone/base",
            "data": {"path": "someone/reviews"},
            "stages": {
                "teacher": {"finetune": {"training": {"num_train_epochs": 2}}},
                "student": {"distill": {"student": {"keep_layers": [0, 2, 4]}, "temperature": 3}},
                "onnx": {"export": {}},
                "int8": {"quantize": {"calibration": {"samples": 512}}},
            },
            **changes,
        }
    )


def results(*, label: str = "negative", path: str = "someone/reviews", base: str = "someone/base") -> Results:
    """`examples.demo` with what cards read besides; texts from outside may be anything."""
    model = SourceModel(
        name="source", id=base, local=False, revision="a" * 40, license="apache-2.0", languages=("en", "no")
    )
    data = DataSource(
        path=path, local=False, max_length=128, splits={"test": SplitData(name="test", rows=1475, digest="b" * 64)}
    )
    flips = Flips(against="teacher", split="test", answers=1475, changed=112, won=50, lost=62)
    found = ClassResult(label=label, rows=768, recall=0.85, reference_recall=0.87, won=19, lost=35)
    demo = examples.demo()
    artifacts = [
        artifact.model_copy(
            update={"flips": flips, "classes": (found,), "integer_operators": 20 if artifact.name == "int8" else None}
        )
        if artifact.name != "teacher"
        else artifact
        for artifact in demo.artifacts
    ]
    return demo.model_copy(update={"models": (model,), "data": data, "artifacts": tuple(artifacts), "seed": 0})


MANIFESTS = {
    "teacher": manifest("teacher", "finetune", details={"steps": 100, "losses": [{"step": 100, "loss": 0.25}]}),
    "student": manifest("student", "distill"),
    "onnx": manifest("onnx", "export", "onnx", details={"largest_difference": 1.4e-6, "tolerance": 1e-3}),
    "int8": manifest("int8", "quantize", "onnx", details={"integer_operators": 20, "target": "avx512_vnni"}),
}


def facts(
    found: Results | None = None, chosen: tuple[str, ...] = ("student", "onnx", "int8"), **changes: Any
) -> CardFacts:
    """The facts of the run, or of other results."""
    fields: dict[str, Any] = {
        "results": found or results(),
        "recipe": recipe(),
        "placed": place([MANIFESTS[name] for name in chosen], frozenset({"int8"})),
        "manifests": MANIFESTS,
        "repo_id": "someone/small",
        "beside": frozenset({"pareto.png", "results.json", "recipe.yaml"}),
        "problem": "single_label_classification",
    }
    return CardFacts(**(fields | changes))
