"""What a linter says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from hfcompress.onnx_graph.lint.graph import QdqGraph
from hfcompress.onnx_graph.lint.parser import ParserTable
from hfcompress.onnx_graph.profiles import Profiles
from hfcompress.results import Record

#: error - the target rejects the graph, or reads other numbers than are meant; advice - it costs speed or accuracy.
Severity = Literal["error", "advice"]


class Finding(Record):
    """One fault of a graph.

    Attributes:
        rule: its name.
        severity: see `Severity`.
        node: the name of the node, of the graph's input, or of the graph.
        what: what was found there.
        source: who says that this is a fault.
        cure: what to do.
        fixable: whether `--fix` can do it.
    """

    rule: str
    severity: Severity
    node: str
    what: str
    source: str
    cure: str
    fixable: bool


@dataclass(frozen=True)
class Fault:
    """A place, and what was found there.

    Attributes:
        name: of the node, or of an input, or of the graph.
        what: in words.
        node: None where it is no node.
        fixable: whether the rule's fix can mend this one.
    """

    name: str
    what: str
    node: Any = None
    fixable: bool = True


@dataclass(frozen=True)
class Linted:
    """What rules look at.

    Attributes:
        model: the `onnx.ModelProto`.
        graph: its view.
        parser: what the target reads.
        profiles: the sizes that an engine is to be built for; None: not known yet.
    """

    model: Any
    graph: QdqGraph
    parser: ParserTable
    profiles: Profiles | None

    def at(self, node: Any, what: str, fixable: bool = True) -> Fault:
        """A fault of a node."""
        return Fault(self.graph.name_of(node), what, node, fixable)


@dataclass(frozen=True)
class Rule:
    """One rule as data.

    Attributes:
        name: its name.
        severity: of its findings.
        check: finds the faults.
        source: who says so.
        cure: what to do.
        fix: mends one node of a graph in place, where that is mechanical.
    """

    name: str
    severity: Severity
    check: Callable[[Linted], Iterator[Fault]]
    source: str
    cure: str
    fix: Callable[[QdqGraph, Any], None] | None = None
