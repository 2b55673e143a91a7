"""Every task on text goes through export and INT8, and the graph answers as PyTorch does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hfcompress import export_onnx, load, quantize_onnx
from hfcompress.recipe.data import DataConfig
from hfcompress.recipe.tasks import TaskName
from hfcompress.tasks import get_task
from hfcompress.tasks.data import Data
from hfcompress.tasks.dataset import load_rows
from hfcompress.tasks.labels import Labels
from tests import tiny

SEVERAL = Labels(("good", "bad", "numbered"), {}, "multi_label_classification")
NUMBER = Labels(("LABEL_0",), {}, "regression")
TAGS = Labels(tiny.TAGS, {}, None)
SENTENCES = ["good word1 bad", "word2"]
CASES: list[tuple[TaskName, Labels | None, Any, Any]] = [
    ("text-classification", SEVERAL, tiny.save_topics, SENTENCES),
    ("text-classification", NUMBER, tiny.save_scores, SENTENCES),
    ("token-classification", TAGS, tiny.save_tagged, [sentence.split() for sentence in SENTENCES]),
    ("masked-lm", None, tiny.save_lines, ["good [MASK] bad", "[MASK]"]),
    ("feature-extraction", None, tiny.save_pairs, SENTENCES),
    ("question-answering", None, tiny.save_questions, [("word1", "word2 good"), ("word3", "word4 " * 60)]),
]


@pytest.mark.export
@pytest.mark.parametrize("task, labels, save, examples", CASES, ids=[f"{case[0]}-{case[2].__name__}" for case in CASES])
def test_a_task_is_exported_and_quantized(
    task: TaskName, labels: Labels | None, save: Any, examples: list[Any], tmp_path: Path
) -> None:
    torch_folder = tiny.save_bert(tmp_path / "torch", layers=2, head=task, labels=labels)
    exported, int8 = tmp_path / "onnx", tmp_path / "int8"
    assert export_onnx(torch_folder, exported, examples=examples).largest < 1e-4
    assert export_onnx(torch_folder, exported).largest < 1e-4
    quantize_onnx(exported, int8)
    code = get_task(task)
    rows = load_rows(DataConfig(path=str(save(tmp_path / "data", train=4, validation=6, test=2))), task, 0)
    known = code.labels_of(rows.splits["train"], "x", labels)
    data = Data(code, rows, known if labels is None else code.align(known, labels) or known, 32)
    models = [load(folder, threads=1) for folder in (torch_folder, exported, int8)]
    assert [model.task.name for model in models] == [task] * 3
    processor = models[0].processor
    for batch in data.batches(data.prepared("validation", processor), processor, 4):
        expected, found, rough = (model.predict(batch) for model in models)
        for name in code.outputs:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-4)
            spread = expected[name].std() + 1e-3
            assert np.abs(rough[name] - expected[name]).mean() < spread, "INT8 is rough, and no noise"
    for answer, expected_answer in zip(models[1].answer(examples), models[0].answer(examples), strict=True):
        if isinstance(answer, float | np.ndarray):
            np.testing.assert_allclose(answer, expected_answer, atol=1e-4)
        else:
            assert answer == expected_answer
