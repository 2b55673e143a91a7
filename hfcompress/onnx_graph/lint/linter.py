"""All rules of a target on one graph, and their fixes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hfcompress.errors import InputError, ModelError, StageError
from hfcompress.onnx_graph.lint.findings import Finding, Linted, Rule
from hfcompress.onnx_graph.lint.fixes import drop_unread_
from hfcompress.onnx_graph.lint.graph import QdqGraph
from hfcompress.onnx_graph.lint.parser import tensorrt_parser
from hfcompress.onnx_graph.lint.rules import TENSORRT
from hfcompress.onnx_graph.profiles import Profiles

#: Target -> its rules.
TARGETS: dict[str, tuple[Rule, ...]] = {"tensorrt": TENSORRT}
#: Findings that an error names.
_NAMED = 5


def lint(model: Any, target: str = "tensorrt", profiles: Profiles | None = None) -> tuple[Finding, ...]:
    """Every finding, errors first, in the order of the rules and of the graph.

    Args:
        model: an `onnx.ModelProto` with its weights in it; not changed.
        target: whose rules.
        profiles: the sizes that an engine is to be built for, by input; without them nothing is said about sizes.

    Raises:
        InputError: a target without rules.
        ModelError: the graph is not valid ONNX.
    """
    rules = _rules(target)
    linted = Linted(model, _graph_of(model), tensorrt_parser(), profiles)
    found = [finding for rule in rules for finding in _findings(rule, linted)]
    return tuple(sorted(found, key=lambda finding: finding.severity != "error"))


def fix_(model: Any, target: str = "tensorrt") -> int:
    """Mend what can be mended mechanically, in place; gives the number of places that were."""
    return sum(_fix_rule_(model, rule) for rule in _rules(target) if rule.fix is not None)


def _fix_rule_(model: Any, rule: Rule) -> int:
    """Mend the faults of one rule, and those that can be mended once others are."""
    mended = 0
    before: list[tuple[str, str]] | None = None
    while True:
        graph = _graph_of(model)
        faults = [each for each in rule.check(Linted(model, graph, tensorrt_parser(), None)) if each.fixable]
        named = [(fault.name, fault.what) for fault in faults]
        if named == before:  # the fix changes nothing: another round would not either
            return mended - len(faults)
        if not faults or rule.fix is None:
            return mended
        for node in {fault.node.output[0]: fault.node for fault in faults}.values():  # products may share a weight
            rule.fix(graph, node)
        drop_unread_(graph)
        mended, before = mended + len(faults), named


def check_readable(path: Path, target: str = "tensorrt") -> None:
    """Make sure that a target can read a graph that was written for it.

    Raises:
        StageError: it cannot; says what, and where.
    """
    import onnx

    errors = [finding for finding in lint(onnx.load(path), target) if finding.severity == "error"]
    if errors:
        named = "; ".join(f"{each.node}: {each.what} ({each.rule})" for each in errors[:_NAMED])
        more = f"; and {len(errors) - _NAMED} more" if len(errors) > _NAMED else ""
        raise StageError(f"{target} would not read {path.name}: {named}{more}; leave these layers out with `skip`")


def quantized_products(path: Path) -> dict[str, str]:
    """Product -> its operator, of those both of whose factors are quantized: what TensorRT computes in integers."""
    import onnx

    graph = QdqGraph(onnx.load(path))
    return {
        graph.name_of(product.node): product.node.op_type
        for product in graph.products()
        if graph.dequantizer_of(product.activation) is not None and graph.dequantizer_of(product.other) is not None
    }


def _findings(rule: Rule, linted: Linted) -> list[Finding]:
    return [
        Finding(
            rule=rule.name,
            severity=rule.severity,
            node=fault.name,
            what=fault.what,
            source=rule.source,
            cure=rule.cure,
            fixable=rule.fix is not None and fault.fixable,
        )
        for fault in rule.check(linted)
    ]


def _graph_of(model: Any) -> QdqGraph:
    from onnx.shape_inference import InferenceError

    try:
        return QdqGraph(model)
    except InferenceError as error:
        raise ModelError(f"the graph is not valid ONNX, so no target reads it: {error}") from error


def _rules(target: str) -> tuple[Rule, ...]:
    if target not in TARGETS:
        raise InputError(f"no rules for target {target!r}; there are rules for {', '.join(TARGETS)}")
    return TARGETS[target]
