"""What every stage config says about itself."""

from __future__ import annotations

from typing import ClassVar, Literal

from hfcompress.recipe.schema import ModelRef, Schema

Format = Literal["torch", "onnx"]


class VerbConfig(Schema):
    """What every stage config says about itself.

    A verb that learns from teachers has a field `teacher`: a tuple of models, each of which may be a stage; one that
    makes a student has a field `student`, whose `model` may be a stage too.

    Attributes:
        consumes: formats of the artifact that it transforms, and of its teachers.
        produces: format of the artifact that it makes.
        trains: whether it trains a model, on the training split, in every process of a run.
        learns_from_source: whether its source is its teacher when no teacher is named.
        takes_int8: whether what it transforms may be INT8 already, or trained for it.
        gives_int8: whether what it makes is INT8, or trained for it.
    """

    consumes: ClassVar[frozenset[Format]]
    produces: ClassVar[Format]
    trains: ClassVar[bool] = False
    learns_from_source: ClassVar[bool] = False
    takes_int8: ClassVar[bool] = False
    gives_int8: ClassVar[bool] = False

    @property
    def teachers(self) -> tuple[ModelRef, ...]:
        """The teachers that it names; none for a verb without any."""
        return getattr(self, "teacher", ())

    @property
    def student_model(self) -> ModelRef | None:
        """The checkpoint that its student starts from, where it names one."""
        return getattr(getattr(self, "student", None), "model", None)
