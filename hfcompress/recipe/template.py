"""A commented recipe to start from."""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import get_args

from hfcompress.errors import RecipeError
from hfcompress.recipe.faults import did_you_mean, show
from hfcompress.recipe.loader import parse_recipe
from hfcompress.recipe.tasks import TASKS, TaskLanguage, TaskName
from hfcompress.recipe.yaml_text import NotPlainError, read_yaml

_TEMPLATE = """\
# Check it:   hfcompress validate {name}.yaml
# The plan:   hfcompress run {name}.yaml --dry-run
# Run it:     hfcompress run {name}.yaml
# Any field can be changed for one run:  --set stages.student.distill.temperature=4

name: {name}  # the run folder is runs/{name}/
task: {task}
model: {model}  # a local folder or a Hub id; as an artifact it is called `source`

data:
  path: path/to/data  # CHANGE THIS: a Hub id, a csv, json or parquet file, a folder of them, or a saved dataset
  columns: {columns}  # role: column of your data
{optional}  splits: {{train: train, validation: validation, test: test}}  # role: split of your data
  # limit: {{train: 5000}}  # at most so many rows of a split
{max_length}
evaluate:
  metrics: [{metric}]  # the first one is the one of tables and plots
  # there are: {metrics}
  gates_on: validation  # what gates and searches read
  report_on: test  # what the final figures are from; read once, at the end

baseline: teacher  # what speed-ups are measured against
seed: 0

# Each stage transforms the one before it, unless `from` names another. Remove those that you do not need: a model
# that is fine-tuned already starts at `student` or at `onnx`.
stages:
  teacher:
    finetune:
      training: {{num_train_epochs: 3, learning_rate: 5.0e-5}}  # fields of transformers.TrainingArguments
  student:
    from: teacher  # what the student starts from
    distill:
      teacher: [teacher]  # a stage, a local folder or a Hub id
      student: {{keep_layers: [0, 2, 4]}}  # which encoder layers it keeps; without this line, all of them
      temperature: 2  # softens the teacher's answers; 1 to 8 is usual
      kl_weight: 0.9  # weight of the teacher's answers ...
      label_weight: 0.1  # ... and of the labels
      training: {{num_train_epochs: 3, learning_rate: 1.0e-4}}
  student-qat:  # trains the student for INT8; where INT8 after training loses too much
    from: student
    qat:
      teacher: [teacher]  # without this line, `from`
      training: {{num_train_epochs: 1, learning_rate: 5.0e-5}}
  onnx:
    from: student
    export: {{}}  # fails when ONNX Runtime and PyTorch answer differently
  int8:
    quantize: {{per_channel: true}}  # dynamic INT8; per channel is more accurate, per tensor often faster
  int8-static:
    from: onnx
    quantize: {{calibration: {{method: minmax, samples: 256}}}}  # rows of the training split
  int8-qat:
    from: student-qat
    export: {{}}  # INT8 already
  # engine:  # on a machine with TensorRT
  #   from: onnx
  #   engine: {{precision: fp16}}

benchmark:
  batch: [1, 32]
{sequence}  # threads: 4  # default: all cores that this process may use
  repeats: 30  # timed calls of each cell; artifacts take turns, so that a noisy machine hurts all alike

# A gate that fails ends the run with exit code 1 and marks the artifact unpublishable.
gates:
  - artifact: int8
    against: teacher
    max_drop: {{{metric}: 0.015}}  # a fraction: 1.5 points
    min_speedup: 2
    # confident: true  # judge on the bound of the 95% interval in place of the estimate

# Where `hfcompress run --push` and `hfcompress push runs/{name}` publish what passed its gates.
# publish:
#   repo_id: namespace/name
#   private: true
"""


def init_recipe(task: str, model: str, name: str | None = None) -> str:
    """A commented recipe for a task and a model, valid as it is except that its data is not there.

    Args:
        task: one of the tasks of the recipe language.
        model: a local folder or a Hub id.
        name: names the recipe; default: made from the model's name.

    Raises:
        RecipeError: no such task, or a name or model that a recipe cannot hold.
    """
    known = next((each for each in get_args(TaskName) if each == task), None)
    if known is None:
        raise RecipeError(f"--task should be a task that there is, got {show(task)}{did_you_mean(task, TASKS)}")
    text = _filled(known, TASKS[known], model, _name_from(model) if name is None else name)
    parse_recipe(text, origin="this start of a recipe")
    return text


def _filled(task: TaskName, language: TaskLanguage, model: str, name: str) -> str:
    optional = "".join(f"  # {role}: a column that may be named too\n" for role in language.optional)
    optional += "".join(f"  # {role}: read of the splits that are evaluated only\n" for role in language.evaluated)
    has_sequence = language.has_sequence
    return _TEMPLATE.format(
        name=_scalar(name),
        task=task,
        model=_scalar(model),
        columns="{" + ", ".join(f"{role}: {role}" for role in (*language.required, *language.evaluated)) + "}",
        optional=optional,
        max_length="  max_length: 128  # tokens; longer text is cut\n" if has_sequence else "",
        metric=language.metrics[0],
        metrics=", ".join(language.metrics),
        sequence="  sequence: [16, 64]  # tokens\n" if has_sequence else "",
    )


def _name_from(model: str) -> str:
    words = re.findall(r"[a-z0-9]+", PurePath(model).name.lower())
    return "-".join(words)[:60].rstrip("-") or "compressed"


def _scalar(text: str) -> str:
    """The text as YAML, quoted only where it has to be."""
    try:
        plain = read_yaml(f"key: {text}  # comment") == {"key": text}
    except NotPlainError:
        plain = False
    return text if plain else json.dumps(text, ensure_ascii=False)
