"""The words for INT8 that stages share: what will serve, how ranges are found, what is smoothed, what may be lost."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from hfcompress.recipe.schema import Schema
from hfcompress.recipe.tasks import Metric

#: What will serve; `auto` asks the host. `tensorrt` and `openvino` are runtimes with rules of their own.
Target = Literal["auto", "avx2", "avx512", "avx512_vnni", "arm64", "tensorrt", "openvino"]
CalibrationMethod = Literal["minmax", "entropy", "percentile"]


class Calibration(Schema):
    """How the ranges of activations are found: rows of the training split, chosen by seed, sorted by length.

    Attributes:
        method: `minmax`; `entropy` (the threshold whose 8-bit histogram is nearest in KL; Migacz 2017); `percentile`.
        samples: rows.
        percentile: of |values| that stay within the range; for `percentile` alone.
    """

    method: CalibrationMethod = "minmax"
    samples: PositiveInt = 256
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.99

    @model_validator(mode="after")
    def _percentile_is_used(self) -> Calibration:
        if "percentile" in self.model_fields_set and self.method != "percentile":
            raise ValueError(f"percentile is for method percentile, and method is {self.method}; leave one out")
        return self


def names_module(pattern: str, module: str) -> bool:
    """Whether a pattern of `skip`, with `*` and `?` as in file names, names a module or one that it is within."""
    return fnmatchcase(module, pattern) or fnmatchcase(module, f"{pattern}.*")


def _from_alpha(value: Any) -> Any:
    return {"alpha": value} if isinstance(value, int | float | str) and not isinstance(value, bool) else value


class SmoothQuantConfig(Schema):
    """Move outliers of activations into weights (Xiao et al. 2023, SmoothQuant, equation 4) before ranges are found.

    Attributes:
        alpha: how much is moved: s = max|X|^alpha / max|W|^(1 - alpha); `auto` searches by the error of layer outputs.
    """

    alpha: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = "auto"


#: `smooth: 0.5` is short for `smooth: {alpha: 0.5}`.
Smooth = Annotated[
    SmoothQuantConfig, BeforeValidator(_from_alpha, json_schema_input_type=SmoothQuantConfig | float | str)
]


class Fallback(Schema):
    """Return the layers that cost most to floating point until the validation metrics hold.

    Attributes:
        max_drop: metric -> how much of it may be lost against the source, as a fraction.
        max_layers: at most so many layers return; more would be needed: the stage fails and says so.
    """

    max_drop: dict[Metric, Annotated[float, Field(ge=0, lt=1)]] = Field(min_length=1)
    max_layers: PositiveInt | None = None
