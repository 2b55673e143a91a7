"""The base of every config, and the types that they share."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints


class Schema(BaseModel):
    """Closed and frozen: an unknown key is an error, a validated value never changes."""

    # Inputs stay out of pydantic's own messages: a value may be a token.
    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False, hide_input_in_errors=True
    )


NAME_PATTERN = r"^[a-z0-9]+([-_][a-z0-9]+)*$"
#: Names of recipes, stages and artifacts: they become folders and file names.
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=60)]
#: A share of one: 0.03 is 3 points.
Fraction = Annotated[float, Field(ge=0, le=1)]


class ModelRef(Schema):
    """A model by local folder or Hub id; `revision` pins a Hub id. A plain string is short for `{id: ...}`."""

    id: str = Field(min_length=1)
    revision: str | None = None


def _ref_from_string(value: Any) -> Any:
    return {"id": value} if isinstance(value, str) else value


ModelSource = Annotated[ModelRef, BeforeValidator(_ref_from_string, json_schema_input_type=str | ModelRef)]
