"""What every stage config says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from hfcompress.recipe.schema import ModelRef, Schema

Format = Literal["torch", "onnx", "openvino"]


class VerbConfig(Schema):
    """What every stage config says about itself.

    A verb that learns from teachers has a field `teacher`: a tuple of models, each of which may be a stage; one that
    makes a student has a field `student`, whose `model` may be a stage too.

    Attributes:
        consumes: formats of the artifact that it transforms, and of its teachers.
        trains: whether it trains a model, on the training split, in every process of a run.
        learns_from_source: whether its source is its teacher when no teacher is named.
        takes_int8: whether what it transforms may be INT8 already, or trained for it.
        gives_int8: whether what it makes is INT8, or trained for it.
    """

    consumes: ClassVar[frozenset[Format]]
    trains: ClassVar[bool] = False
    learns_from_source: ClassVar[bool] = False
    takes_int8: ClassVar[bool] = False
    gives_int8: ClassVar[bool] = False

    @classmethod
    def produces(cls, said: Mapping[str, Any], source: Format | None) -> Format | None:
        """Format of the artifact that it makes; None when that cannot be told.

        Args:
            said: the config as it is written, which may be wrong.
            source: format of the artifact that it transforms; None when that cannot be told.
        """
        return "torch"

    @property
    def teachers(self) -> tuple[ModelRef, ...]:
        """The teachers that it names; none for a verb without any."""
        return getattr(self, "teacher", ())

    @property
    def student_model(self) -> ModelRef | None:
        """The checkpoint that its student starts from, where it names one."""
        return getattr(getattr(self, "student", None), "model", None)
