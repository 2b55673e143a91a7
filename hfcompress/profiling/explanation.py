"""What `explain` answers: times side by side, and findings in the order of the time that they cost."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from hfcompress.results import Record

#: `activation_product`, `excluded`, `operator_not_asked`, `unfused` and `unexplained` say why a product stayed in
#: floating point; `slower` is an integer product that loses; `embedding` and `overhead` are layers without a product.
Reason = Literal[
    "activation_product",
    "excluded",
    "operator_not_asked",
    "unfused",
    "unexplained",
    "slower",
    "embedding",
    "overhead",
]


class OperatorTime(Record):
    """All nodes of one operator type: milliseconds of a pass (median over the passes), and how many nodes there are."""

    operator: str
    fp32_ms: float
    int8_ms: float
    fp32_nodes: int
    int8_nodes: int


class LayerTime(Record):
    """One module of the model.

    Attributes:
        layer: its name in torch.
        fp32_ms, int8_ms: of a pass (median over the passes).
        quantizing_ms: of `int8_ms`, what goes to quantizing its input and dequantizing for it or after it.
        fp32_products, int8_products: the operators that multiply in it; empty where none does.
    """

    layer: str
    fp32_ms: float
    int8_ms: float
    quantizing_ms: float
    fp32_products: tuple[str, ...]
    int8_products: tuple[str, ...]


class Finding(Record):
    """One thing that costs time.

    Attributes:
        reason: of a closed set.
        layers: where, the dearest first.
        nodes: products that stayed in floating point, likewise; empty for other reasons.
        lost_ms: of a pass. For what is slower than in fp32, by how much. For what stayed in floating point, its time
            times the share that the layers which did become integer save in this very model (all of it where none
            became integer), and what its Q/DQ cost.
        why: what was found.
        change: what to do.
    """

    reason: Reason
    layers: tuple[str, ...]
    nodes: tuple[str, ...] = ()
    lost_ms: float
    why: str
    change: str


class Explanation(Record):
    """An INT8 graph beside its fp32 source, on one host.

    Attributes:
        schema_: the format's name and version.
        model, against: names of the INT8 and the fp32 folder.
        host: the host's description.
        threads: cores of one call.
        shapes: rows and tokens (rows alone for images) of each batch of a pass.
        passes: how often each model ran all batches, in turns.
        fp32_ms, int8_ms: milliseconds of a pass without the profiler (median).
        speedup: fp32 over INT8, the median over passes of their ratio; below 1 the INT8 model is the slower one.
        speedup_low, speedup_high: its quartiles.
        fp32_profiled_ms, int8_profiled_ms: the same pass as the sum over its operators. The profiler adds some
            microseconds to each operator, which counts in small models.
        operators: by the time of the INT8 model.
        layers: likewise.
        findings: by the time that they cost.
    """

    schema_: Literal["hfcompress.explanation/1"] = Field(default="hfcompress.explanation/1", alias="schema")
    model: str
    against: str
    host: dict[str, Any]
    threads: int
    shapes: tuple[tuple[int, ...], ...]
    passes: int
    fp32_ms: float
    int8_ms: float
    speedup: float
    speedup_low: float
    speedup_high: float
    fp32_profiled_ms: float
    int8_profiled_ms: float
    operators: tuple[OperatorTime, ...]
    layers: tuple[LayerTime, ...]
    findings: tuple[Finding, ...]

    @property
    def slower(self) -> bool:
        """Whether the INT8 model is slower than fp32 as a whole."""
        return self.speedup < 1
