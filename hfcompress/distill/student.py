"""What a student starts from."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hfcompress.distill.distilbert import distilbert_config, to_distilbert
from hfcompress.errors import InputError
from hfcompress.models.architectures import ARCHITECTURES
from hfcompress.models.loading import load_model
from hfcompress.models.selection import keep_layers, take_out_, with_layers
from hfcompress.recipe.faults import did_you_mean, show
from hfcompress.recipe.student import StudentConfig
from hfcompress.stage import Inputs, Run

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

#: Fields that follow from others, and so are computed anew for a config that others are laid over.
_FOLLOW = ("stage_names", "out_features", "out_indices", "pooler_hidden_size", "pooler_output_size", "pruned_heads")
#: What Transformers raises for a config that gives no model: heads that do not divide the width, text for a number, ...
_NO_MODEL = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, ArithmeticError)


def load_student(config: StudentConfig, inputs: Inputs, run: Run) -> PreTrainedModel:
    """The student that a stage trains: another checkpoint where `config` names one, else made from the source.

    Raises:
        ModelError: a folder that cannot be loaded.
        InputError: as `make_student`.
    """
    if inputs.student is not None:
        start, labels = inputs.student, run.data.labels.names
        return load_model(start.path, run.task, labels=labels, trust_remote_code=start.trusted)
    return make_student(load_model(inputs.source.path, run.task, trust_remote_code=inputs.source.trusted), config)


def make_student(model: PreTrainedModel, config: StudentConfig) -> PreTrainedModel:
    """The student that a config makes from `model`, which is left as it is.

    Args:
        model: the source; where `config` names a checkpoint, that one, which is then the student.
        config: what to make of it.

    Raises:
        InputError: what is asked for does not go with this family; see `keep_layers`, `to_distilbert`, `lay_over`.
    """
    if config.config is not None:
        return _fresh(model, config.config)
    student = model if config.keep_layers is None else keep_layers(model, config.keep_layers)
    return to_distilbert(student) if config.architecture == "distilbert" else student


def student_config(model_config: Any, config: StudentConfig) -> Any:
    """The config of the student that `make_student` makes of a model with `model_config`.

    Raises:
        InputError: as `make_student`.
    """
    if config.config is not None:
        return lay_over(model_config, config.config)
    made = model_config if config.keep_layers is None else with_layers(model_config, config.keep_layers)
    return distilbert_config(made) if config.architecture == "distilbert" else made


def lay_over(config: Any, fields: Mapping[str, Any]) -> Any:
    """A copy of a model's config in which some fields have other values.

    Raises:
        InputError: a field that configs of this family do not have, or values that it refuses.
    """
    from huggingface_hub.errors import StrictDataclassError

    aliases = dict(config.attribute_map)  # DistilBERT takes `hidden_size` for its `dim`
    known = {*_fields_of(config), *aliases}
    for name in fields:
        if name not in known:
            raise InputError(
                f"student.config names {show(name)}, which is no field of the config of {config.model_type}"
                f"{did_you_mean(name, sorted(known))}"
            )
    said = {aliases.get(name, name): value for name, value in fields.items()}
    values = {name: value for name, value in config.to_dict().items() if name not in _stale(config, said)}
    try:
        made = type(config).from_dict({**values, **said})
    except (*_NO_MODEL, StrictDataclassError) as error:
        raise _no_model(fields, error) from error
    for name, value in said.items():
        if getattr(made, name) != value:  # Swin takes `num_layers`, and then counts its `depths`
            raise InputError(
                f"student.config says {name}: {show(value)}, but in a {config.model_type} it follows from other fields "
                f"and is {show(getattr(made, name))}; say those"
            )
    return made


def float32_bytes(config: Any, model_class: Any, *, trust_remote_code: bool = False) -> int:
    """The size of a model's weights in float32, of which none is made.

    Args:
        config: the model's config.
        model_class: an `AutoModel...` class.
        trust_remote_code: whether the model may bring its own code.

    Raises:
        InputError: there is no model of this config.
    """
    import torch

    try:
        with torch.device("meta"):
            model = model_class.from_config(config, trust_remote_code=trust_remote_code)
    except _NO_MODEL as error:
        raise InputError(f"there is no {config.model_type} of this config: {error}") from error
    return sum(4 * int(parameter.numel()) for parameter in model.parameters())


def _fresh(model: PreTrainedModel, fields: Mapping[str, Any]) -> PreTrainedModel:
    """A model of the same class with random weights, whose config is that of `model` with other fields."""
    config = lay_over(model.config, fields)
    try:
        student = type(model)(config).to(model.dtype)
    except _NO_MODEL as error:
        raise _no_model(fields, error) from error
    take_out_(student, model)
    logger.warning(
        "the student is a fresh %s of %s parameters with random weights: it is not pretrained, and needs far more data "
        "and steps than one that starts from layers (`keep_layers`) or from a checkpoint (`model`)",
        type(student).__name__,
        f"{student.num_parameters():,}",
    )
    return student.train(model.training)


def _fields_of(config: Any) -> list[str]:
    """The fields that a family's config names itself."""
    parameters = inspect.signature(type(config).__init__).parameters.values()
    named = [parameter.name for parameter in parameters if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    return [name for name in named if name != "self" and not name.startswith("_")]


def _stale(config: Any, said: Iterable[str]) -> set[str]:
    """The fields that no longer hold once others are said."""
    architecture = ARCHITECTURES.get(config.model_type)
    counts = architecture is not None and architecture.count in said
    # ModernBERT in Transformers 5 lists a kind of attention for each layer.
    return {*_FOLLOW, *(("layer_types",) if counts else ())} - set(said)


def _no_model(fields: Mapping[str, Any], error: Exception) -> InputError:
    reason = " ".join(str(error).split())
    return InputError(f"student.config {show(fields)} gives no model: {reason}; correct these fields")
