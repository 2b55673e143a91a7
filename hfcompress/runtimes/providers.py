"""Sessions on an accelerator: the provider that was asked for computes every node, or the error says why it does not.

ONNX Runtime gives way without an error: a provider whose libraries cannot be loaded is left out, and nodes that a
provider does not take go to the CPU. Why, only its log says, which native code writes to stderr.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

from hfcompress.errors import ProviderError

logger = logging.getLogger(__name__)

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
#: The session option after which a session tells who computes what; newer builds have it.
RECORD = "session.record_ep_graph_assignment_info"
#: How the extra is called that brings what a provider needs.
_EXTRAS = {CUDA: "onnxruntime-gpu", TENSORRT: "tensorrt"}
#: What ONNX Runtime computes on the CPU on purpose beside CUDA: sizes, which are a few integers that the CPU needs
#: anyhow (`GetCpuPreferredNodes`). TensorRT computes sizes within its engine.
SIZE_OPERATORS = frozenset(
    {"Shape", "Size", "Gather", "Unsqueeze", "Squeeze", "Concat", "Slice", "Cast", "Range", "Reshape"}
    | {"Add", "Sub", "Mul", "Div", "Equal", "Where", "ConstantOfShape", "Min", "Max", "Identity", "Constant"}
)
#: A line of ONNX Runtime's log that says what went wrong, with its severity: warning, error, fatal.
_LINE = re.compile(r"\[([WEF]):onnxruntime:[^\]]*\] (.*)")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: What stands before the reason itself: where in the source it was found, and its code.
_ORIGIN = re.compile(r"^.*\[ONNXRuntimeError\] : \d+ : \w+ : ")
_FOLDER = re.compile(r"\S*/(?=lib\w+\.so)")
_SHOWN = 8
#: Stderr is one for all threads.
_capturing = threading.RLock()


@dataclass(frozen=True)
class Node:
    """A node of a graph that another provider computes.

    Attributes:
        name: of the node.
        operator: its type.
        provider: who computes it.
    """

    name: str
    operator: str
    provider: str


def tells_placement() -> bool:
    """Whether sessions of this build can tell who computes what."""
    import onnxruntime

    return hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info")


def elsewhere(session: Any, provider: str) -> list[Node]:
    """The nodes of a session with `RECORD` that another provider computes, but for sizes beside CUDA.

    Sizes are told by their operators, since a session does not say types: an `Add` of floats that CUDA left would pass.
    """
    found = [
        Node(node.name, node.op_type, part.ep_name)
        for part in session.get_provider_graph_assignment_info()
        if part.ep_name != provider
        for node in part.get_nodes()
    ]
    return [node for node in found if provider != CUDA or node.operator not in SIZE_OPERATORS]


def check_provider(session: Any, provider: str, graph: str, log: str) -> None:
    """Refuse a session that does not compute all of its graph on the provider that was asked for.

    Args:
        session: an open session.
        provider: the one that was asked for.
        graph: what an error calls the graph.
        log: what ONNX Runtime wrote while the session was opened.

    Raises:
        ProviderError: lists the nodes and the reasons.
    """
    if (used := session.get_providers()[0]) != provider:
        raise not_loaded(provider, f"ONNX Runtime would use {used} in its place", log)
    if provider == CPU or not tells_placement():
        return
    if nodes := elsewhere(session, provider):
        raise ProviderError(
            f"{provider} does not compute the whole of {graph}: {_listed(nodes)}{_because(log)}; ask for {CPU}, or "
            f"change the model: `hfcompress lint` names what TensorRT does not read"
        )


def not_loaded(provider: str, what: str, log: str) -> ProviderError:
    """The error for a provider that this build has and this machine cannot load."""
    extra = _EXTRAS.get(provider)
    install = f"install what {provider} needs" + (f" (pip install 'hfcompress[{extra}]', the driver)" if extra else "")
    return ProviderError(f"{provider} cannot be loaded, and {what}{_because(log)}; {install}, or ask for {CPU}")


def reasons(log: str) -> list[str]:
    """What the log says of what went wrong: errors, or warnings where there are none; each once, in their order."""
    found = [match.groups() for line in _COLOUR.sub("", log).splitlines() if (match := _LINE.search(line))]
    errors = [text for severity, text in found if severity != "W"]
    texts = [_FOLDER.sub("", _ORIGIN.sub("", text)).strip() for text in errors or [text for _, text in found]]
    return list(dict.fromkeys(text for text in texts if text))


def _because(log: str) -> str:
    said = reasons(log)
    return f": {'; '.join(said[:3])}" if said else ""


def _listed(nodes: Sequence[Node]) -> str:
    counts = Counter(node.provider for node in nodes)
    where = ", ".join(f"{count} to {provider}" for provider, count in counts.items())
    named = ", ".join(f"{node.name or '(unnamed)'} ({node.operator})" for node in nodes[:_SHOWN])
    more = f" and {len(nodes) - _SHOWN} more" if len(nodes) > _SHOWN else ""
    return f"it leaves {where}, namely {named}{more}"


@contextmanager
def captured_log() -> Iterator[Callable[[], str]]:
    """Keep what native code writes to stderr within the block; the value gives it, within the block and after it.

    Stderr is the process's own: what other threads write to it meanwhile is kept too, and goes to the debug log.
    """
    sys.stderr.flush()
    text = ""
    with _capturing, TemporaryFile() as file:

        def said() -> str:
            if file.closed:
                return text
            file.seek(0)
            return file.read().decode(errors="replace")

        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            text = said()
            if text:
                logger.debug("ONNX Runtime, while it opened a session:\n%s", text)
