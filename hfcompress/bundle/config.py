"""What a bundle is asked to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from hfcompress.errors import InputError
from hfcompress.onnx_graph.profiles import Profile
from hfcompress.runtimes.settings import Precision

Target = Literal["jetson", "trtexec", "onnxruntime", "openvino"]
#: Targets for which an engine is built, of the sizes that profiles name.
ENGINES: frozenset[Target] = frozenset({"jetson", "trtexec"})
_FORMATS: dict[Target, tuple[str, ...]] = {
    "jetson": ("onnx",),
    "trtexec": ("onnx",),
    "onnxruntime": ("onnx",),
    "openvino": ("onnx", "openvino"),
}


@dataclass(frozen=True)
class BundleConfig:
    """What a bundle is asked to be.

    Attributes:
        target: what will run it: TensorRT on a Jetson, TensorRT elsewhere, ONNX Runtime, OpenVINO.
        rows: most rows of the sample.
        precision: what floating point is computed in; None: as the graph and the runtime have it. INT8 is in the graph.
        profiles: input -> the sizes that an engine is built for; empty: those of the data.
        serving: a file of `tune` that travels along.
    """

    target: Target
    rows: int = 256
    precision: Precision | None = None
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    serving: Path | None = None

    def __post_init__(self) -> None:
        if self.target not in get_args(Target):
            raise InputError(f"no bundle is made for {self.target!r}; targets are {', '.join(get_args(Target))}")
        if self.rows < 1:
            raise InputError(f"a sample should have 1 row or more, got {self.rows}")
        if self.precision is not None and self.precision not in get_args(Precision):
            raise InputError(
                f"precision should be one of {', '.join(get_args(Precision))}, got {self.precision!r}; INT8 is a "
                "matter of the graph: quantize it"
            )
        if self.precision is not None and self.target == "onnxruntime":
            raise InputError("ONNX Runtime computes what the graph says; leave `precision` out, or export in it")
        if self.profiles and not self.builds_engine:
            raise InputError(f"{self.target} takes every size; profiles are for {' and '.join(sorted(ENGINES))}")

    @property
    def builds_engine(self) -> bool:
        """Whether TensorRT builds an engine on the target."""
        return self.target in ENGINES

    @property
    def runtime(self) -> Literal["tensorrt", "onnxruntime", "openvino"]:
        """The Python package that measures on the target."""
        match self.target:
            case "jetson" | "trtexec":
                return "tensorrt"
            case "onnxruntime" | "openvino":
                return self.target

    def check_format(self, format: str, name: str) -> None:
        """Refuse an artifact that the target cannot read.

        Raises:
            InputError: says what to do.
        """
        taken = _FORMATS[self.target]
        if format == "torch":
            raise InputError(
                f"{name} is a PyTorch artifact, and a bundle for {self.target} holds {' or '.join(taken)}; export it "
                "first: an `export` stage in the recipe, or hfcompress.export_onnx"
            )
        if format not in taken:
            raise InputError(
                f"{name} is {format}, and {self.target} takes {' or '.join(taken)}; bundle its ONNX source"
            )
