"""What a student starts from, as a recipe says it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, field_validator, model_validator

from hfcompress.recipe.faults import listed, show
from hfcompress.recipe.schema import ModelSource, Schema

#: Fields of a model's config that `config` may not lay over -> who decides them.
_DECIDED: dict[str, str] = {
    "vocab_size": "the tokenizer of `from` decides it",
    "num_labels": "the labels of `from` decide it",
    "id2label": "the labels of `from` decide it",
    "label2id": "the labels of `from` decide it",
    "problem_type": "the task decides it",
    "architectures": "the task decides it",
    "model_type": "the student keeps the family of `from`; name a checkpoint of another one as `model`",
    "auto_map": "the student keeps the code of `from`",
}


class StudentConfig(Schema):
    """What a student starts from: all of `from` when nothing is said, else exactly one of three.

    Attributes:
        keep_layers: indices of the encoder layers of `from` that the student keeps, in order. In a family with stages
            (Swin, ResNet, ConvNeXt) they number the blocks of all stages.
        model: another checkpoint: a stage, a local folder or a Hub id. Its head is new where it has none for the task.
        config: a fresh model: fields of the config of `from` that the student has otherwise, such as
            `{hidden_size: 384, intermediate_size: 1536}`. Its weights are random: it is not pretrained.
        architecture: `distilbert` turns a BERT into a DistilBERT with the same weights under its own names, as the
            paper did (Sanh et al. 2019); by default the student keeps the architecture of `from`.
    """

    keep_layers: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] | None = None
    model: ModelSource | None = None
    config: Annotated[dict[str, Any], Field(min_length=1)] | None = None
    architecture: Literal["distilbert"] | None = None

    @field_validator("config")
    @classmethod
    def _is_free_to_say(cls, config: dict[str, Any] | None) -> dict[str, Any] | None:
        decided = next((field for field in config or {} if field in _DECIDED), None)
        if decided is not None:
            raise ValueError(f"cannot say {decided}: {_DECIDED[decided]}; leave it out")
        return config

    @model_validator(mode="after")
    def _says_one_thing(self) -> StudentConfig:
        layers = self.keep_layers or ()
        if list(layers) != sorted(set(layers)):
            raise ValueError(f"keep_layers should ascend without repetition, got {show(layers)}")
        said = [name for name in ("keep_layers", "model", "config") if getattr(self, name) is not None]
        if len(said) > 1:
            raise ValueError(f"a student starts from one thing, got {listed(said, 'and')}; choose one of them")
        if self.architecture is not None and said in (["model"], ["config"]):
            raise ValueError(
                f"`architecture` gives the weights of `from` other names, and `{said[0]}` takes none of them; "
                "leave one of the two out"
            )
        return self
