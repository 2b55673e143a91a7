"""The `training:` block: the fields of the installed `TrainingArguments`, read without importing Transformers.

Importing `transformers.TrainingArguments` imports torch, which takes seconds; a recipe is checked in milliseconds. So
the field names and simple types are parsed from the source of the installed version.
"""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, StrictBool
from typing_extensions import TypedDict

#: Fields of TrainingArguments that the recipe says elsewhere or that the pipeline owns -> what to use instead.
OURS: dict[str, str] = {
    "output_dir": "the run folder decides it; use --out",
    "overwrite_output_dir": "an artifact is never overwritten in place; use --fresh",
    "seed": "use `seed` at the top of the recipe",
    "data_seed": "use `seed` at the top of the recipe",
    "do_train": "a training stage trains",
    "do_eval": "every artifact is measured",
    "do_predict": "every artifact is measured",
    "resume_from_checkpoint": "a killed run resumes by itself; --fresh starts anew",
    "push_to_hub": "publish the finished run: `publish` at the top of the recipe, and `run --push`",
    "local_rank": "the launcher sets it",
    "deepspeed": "use an accelerate config: accelerate launch --config_file",
    "fsdp": "use an accelerate config: accelerate launch --config_file",
    "auto_find_batch_size": "a stage takes smaller batches by itself when memory runs out, and keeps the step",
    "save_only_model": "a checkpoint without the optimizer cannot resume exactly",
    "remove_unused_columns": "batches carry the inputs of student and teacher",
    "group_by_length": "use `length_grouped`, which resumes exactly",
    "train_sampling_strategy": "use `length_grouped`, which resumes exactly",
    "save_safetensors": "weights are always saved as safetensors; a pickle runs code when loaded",
    "logging_nan_inf_filter": "a NaN loss always stops the stage",
    "use_cpu": "hide the GPU with CUDA_VISIBLE_DEVICES=''",
    "no_cuda": "hide the GPU with CUDA_VISIBLE_DEVICES=''",
}
_OUR_PREFIXES = {"hub_": OURS["push_to_hub"], "push_to_hub_": OURS["push_to_hub"], "fsdp_": OURS["fsdp"]}

#: Fields that our own argument classes add.
_ADDED: dict[str, Any] = {"length_grouped": StrictBool}
_SIMPLE: dict[str, Any] = {"float": float, "int": int, "bool": StrictBool, "str": str}


def use_instead(field: str) -> str | None:
    """What to use in place of a TrainingArguments field that is ours, or None when the field may be set."""
    for prefix, advice in _OUR_PREFIXES.items():
        if field.startswith(prefix):
            return advice
    return OURS.get(field)


@cache
def training_fields() -> dict[str, Any]:
    """Field name -> type, of the installed TrainingArguments, less the fields that are ours."""
    fields = {name: kind for name, kind in _declared_fields() if use_instead(name) is None}
    return {**fields, **_ADDED}


def _declared_fields() -> list[tuple[str, Any]]:
    spec = importlib.util.find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("transformers is not installed; run: pip install hfcompress")
    source = Path(spec.submodule_search_locations[0]) / "training_args.py"
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == "TrainingArguments":
            return [
                (item.target.id, _simple_type(item.annotation))
                for item in node.body
                if isinstance(item, ast.AnnAssign)
                and isinstance(item.target, ast.Name)
                and "ClassVar" not in ast.dump(item.annotation)
                and not item.target.id.startswith("_")
            ]
    raise LookupError(f"{source} defines no class TrainingArguments; this version of transformers is not supported")


def _simple_type(annotation: ast.expr) -> Any:
    """float, int, bool or str, or one of them or None, when the annotation says just that; Any otherwise."""
    names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    constants = {str(node.value) for node in ast.walk(annotation) if isinstance(node, ast.Constant)}
    words = (names | constants) - {"Optional", "Union", "None"}
    simple = float if words == {"int", "float"} else _SIMPLE.get(words.pop()) if len(words) == 1 else None
    if simple is None:
        return Any
    return simple | None if "Optional" in names or "None" in constants else simple


if TYPE_CHECKING:
    Training = dict[str, Any]
else:
    Training = TypedDict("Training", training_fields(), total=False)
    Training.__pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)
