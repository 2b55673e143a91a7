"""A run folder as a run leaves it, written by hand: small files in place of models, the figures of `examples`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from hfcompress.artifact import Manifest, digest_of, hash_folder, write_manifest
from hfcompress.recipe.loader import dump_recipe, parse_recipe, recipe_sha256
from hfcompress.results import Results, write_results
from tests.report import examples

FORMATS = {"teacher": "torch", "student": "torch", "onnx": "onnx", "int8": "onnx"}
STAGES = {
    "teacher": {"finetune": {"training": {"num_train_epochs": 2}}},
    "student": {"distill": {"student": {"keep_layers": [0, 2, 4]}}},
    "onnx": {"export": {}},
    "int8": {"quantize": {}},
}


def write_run(folder: Path, results: Results | None = None, **recipe: Any) -> Path:
    """A finished run.

    Args:
        folder: where it goes.
        results: what was measured; default: all gates passed.
        recipe: further keys of it, such as `publish`.
    """
    found = examples.demo() if results is None else results
    for name in FORMATS:
        digest = _write_artifact(folder / "artifacts" / name, name)
        operators = 20 if name == "int8" else None
        found = examples.changed(found, name, digest=digest, integer_operators=operators)
    plain = {"name": "sentiment-demo", "task": "text-classification", "model": "someone/base", "stages": STAGES}
    made = parse_recipe({**plain, "data": {"path": "someone/reviews"}, **recipe})
    (folder / "recipe.yaml").write_text(dump_recipe(made))
    said = {"recipe_sha256": recipe_sha256(dump_recipe(made))}
    write_results(found.model_copy(update=said), folder / "results.json")
    (folder / "predictions").mkdir()
    (folder / "predictions" / "int8-test.parquet").write_bytes(b"PAR1")
    return folder


def _write_artifact(folder: Path, name: str) -> str:
    folder.mkdir(parents=True)
    labels = {"id2label": {"0": "negative", "1": "positive"}, "label2id": {"negative": 0, "positive": 1}}
    kind = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}
    (folder / "config.json").write_text(json.dumps({**kind, **labels}))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    if FORMATS[name] == "torch":
        save_file({"weight": np.full((8, 8), len(name), np.float32)}, folder / "model.safetensors")
    else:
        graph = "model_quantized.onnx" if name == "int8" else "model.onnx"
        (folder / graph).write_bytes(f"the graph of {name}".encode() * 100)
    files = hash_folder(folder)
    write_manifest(
        folder,
        Manifest(
            name=name,
            stage=next(iter(STAGES[name])),
            format=FORMATS[name],
            task="text-classification",
            files=files,
            key=name.ljust(64, "0"),
            recipe={},
            parents={},
            versions={},
            seed=0,
            host={},
            details={"max_length": 128},
        ),
    )
    return digest_of(files)
