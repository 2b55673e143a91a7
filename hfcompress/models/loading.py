"""The one way to load and save a torch artifact."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfcompress.errors import ModelError
from hfcompress.models.fake_quant.folder import (
    added_names,
    expected_missing,
    read_structure,
    rebuild_,
    write_fake_quant,
)
from hfcompress.models.fake_quant.insert import is_fake_quantized
from hfcompress.models.folder import check_safe, read_config, task_of
from hfcompress.models.quiet import no_bars, quiet
from hfcompress.recipe.tasks import TaskName
from hfcompress.tasks import get_task
from hfcompress.tasks.labels import Labels

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def load_model(
    folder: Path, task: TaskName, *, labels: Labels | None = None, trust_remote_code: bool = False
) -> PreTrainedModel:
    """Load a model in float32, in eval mode.

    Args:
        folder: a local model folder with safetensors.
        task: decides the class and its head.
        labels: what a new head is to answer; it is freshly initialised where the folder's model has none or another
            number of outputs. None loads the model as it is and refuses one without the task's head.
        trust_remote_code: whether the model may bring its own code.

    Raises:
        ModelError: unsafe, without the task's head or some of its weights, or not loadable.
    """
    from safetensors import SafetensorError

    check_safe(folder, trust_remote_code=trust_remote_code)
    if labels is None:
        check_head(folder, task)
    options = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": trust_remote_code}
    code = get_task(task)
    head = {} if labels is None else {**code.head_config(labels), "ignore_mismatched_sizes": True}
    try:
        # Transformers warns of a new head, which is what `labels` ask for; weights that miss are an error below.
        with quiet("transformers"), no_bars():
            model, found = code.model_class().from_pretrained(folder, output_loading_info=True, **options, **head)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelError(f"{folder} could not be loaded for {task}: {error}") from error
    code.adapt_(model)
    structure = read_structure(folder)
    absent = (name for name in set(found["missing_keys"]) & set(model.state_dict()))
    missing = sorted(name for name in absent if not name.startswith(expected_missing(structure)))
    if labels is None and missing:
        # Transformers draws them at random, with a warning.
        raise ModelError(f"{folder} lacks {len(missing)} weights of its model ({missing[0]}, ...); copy it again whole")
    loaded: PreTrainedModel = model.float().eval()
    if structure is not None:
        rebuild_(loaded, structure, folder)
    return loaded


def load_config(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The config of a model folder, as Transformers reads it, defaults filled in.

    Raises:
        ModelError: unsafe, or of a family that the installed Transformers does not know.
    """
    from transformers import AutoConfig

    check_safe(folder, trust_remote_code=trust_remote_code)
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"the config in {folder} could not be loaded: {error}") from error


def check_head(folder: Path, task: TaskName) -> None:
    """Refuse a model without the task's head: its answers would come from random weights.

    Raises:
        ModelError: names what the config says, and the way out.
    """
    config = read_config(folder)
    if task_of(config) != task:
        named = ", ".join(config.get("architectures") or ["nothing"])
        raise ModelError(
            f"{folder} has no head for {task} (its config names {named}); begin the recipe with a `finetune` stage, "
            "or give a model that is fine-tuned for the task"
        )


def save_weights(model: PreTrainedModel, folder: Path, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Write weights and config; of a fake-quantized model those of a plain one, and beside them what rounds it."""
    held = model.state_dict() if weights is None else weights
    added = added_names(model)
    with no_bars():
        model.save_pretrained(folder, state_dict={name: held[name] for name in held if name not in added})
    if is_fake_quantized(model):
        write_fake_quant(model, folder, held)


def save_model(
    model: PreTrainedModel, processor: Any, folder: Path, weights: dict[str, torch.Tensor] | None = None
) -> None:
    """Write weights (safetensors; the model's own unless others are given), config and processor, so that the folder
    stands on its own.

    The processor that is written gives only what the model takes: a DistilBERT made from a BERT has BERT's tokenizer,
    and Transformers' own pipelines would hand it `token_type_ids`.
    """
    save_weights(model, folder, weights)
    taken = inspect.signature(type(model).forward).parameters
    named = list(getattr(processor, "model_input_names", ()))
    if any(name not in taken for name in named):
        processor = copy.deepcopy(processor)
        processor.model_input_names = [name for name in named if name in taken]
        getattr(processor, "init_kwargs", {})["model_input_names"] = processor.model_input_names
    backend = getattr(processor, "backend_tokenizer", None)
    if backend is not None:
        # A call leaves its truncation and padding there, one that a cache of `datasets` answers leaves none: without
        # this, equal stages would give artifacts of different digests.
        backend.no_truncation()
        backend.no_padding()
    processor.save_pretrained(folder)
