"""ONNX Runtime's profile of a session: from its JSON events to seconds of each node of the graph that it ran."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hfcompress.errors import MeasurementError

_MICROSECOND = 1e-6
_KERNEL = "_kernel_time"
#: Operators that run a subgraph: the time of what is in it is part of their own.
_WITH_SUBGRAPH = frozenset({"If", "Loop", "Scan"})


@dataclass(frozen=True)
class Kernel:
    """One operator that ran: its kind, the name of its node, and microseconds since the start and of its own."""

    operator: str
    name: str
    start: int
    duration: int


@dataclass(frozen=True)
class Call:
    """One call of a session: its kernels, those of subgraphs left out, and its own microseconds."""

    kernels: tuple[Kernel, ...]
    duration: int


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a profile that ONNX Runtime wrote."""
    events: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return events


def calls_in(events: Iterable[Mapping[str, Any]]) -> list[Call]:
    """The calls of a session, by its events in the order in which they ended."""
    calls: list[Call] = []
    kernels: list[Kernel] = []
    for event in events:
        name = str(event["name"])
        if event["cat"] == "Node" and name.endswith(_KERNEL):
            kernel = Kernel(event["args"]["op_name"], name.removesuffix(_KERNEL), event["ts"], event["dur"])
            if kernel.operator in _WITH_SUBGRAPH:
                kernels = [inner for inner in kernels if inner.start <= kernel.start]
            kernels.append(kernel)
        elif name == "model_run":
            calls.append(Call(tuple(kernels), event["dur"]))
            kernels = []
    return calls


def node_seconds(calls: Sequence[Call], nodes: Sequence[Any]) -> np.ndarray:
    """Seconds of each node in each call, shape (calls, nodes).

    Args:
        calls: of one session.
        nodes: of the optimized graph. A node without a name is known by its operator and its turn among such nodes.

    Raises:
        MeasurementError: a call ran other nodes than those of the graph.
    """
    names = {node.name for node in nodes}
    seconds = np.empty((len(calls), len(nodes)))
    for row, call in enumerate(calls):
        waiting: dict[tuple[str, str], deque[int]] = defaultdict(deque)
        for kernel in call.kernels:
            # ONNX Runtime makes a name for a node that has none.
            waiting[kernel.operator, kernel.name if kernel.name in names else ""].append(kernel.duration)
        for column, node in enumerate(nodes):
            found = waiting[node.op_type, node.name]
            if not found:
                raise MeasurementError(
                    f"ONNX Runtime's profile has no time for the {node.op_type} `{node.name}` of its own graph; this "
                    "version of it writes another profile than those that hfcompress reads: install another one"
                )
            seconds[row, column] = found.popleft() * _MICROSECOND
        if left := [operator for (operator, _), durations in waiting.items() if durations]:
            raise MeasurementError(f"ONNX Runtime's profile has times for {left[0]}, which is not in its own graph")
    return seconds
