"""What an INT8 artifact answers on a CPU that is not this one, and the refusal of one that is not safe there."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from hfcompress.errors import StageError
from hfcompress.host import describe_host
from hfcompress.onnx_graph.file import model_file
from hfcompress.progress import SILENT, Progress
from hfcompress.quantize.targets import cpu_of
from hfcompress.recipe.data import Split
from hfcompress.runtimes.answers import answer_split
from hfcompress.runtimes.base import Runtime
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.runtimes.simulated.runtime import SATURATING, SimulatedCpu, SimulatedRuntime, optimized_for, saturable
from hfcompress.stage import Run
from hfcompress.tasks.agreement import agreement
from hfcompress.tasks.data import Data
from hfcompress.tasks.metrics import over_rows

logger = logging.getLogger(__name__)

#: Rows that are simulated unless something else is said.
SIMULATED_ROWS = 256
#: The least share of predictions that must be those of exact arithmetic: two of 256 rows may differ.
LEAST_AGREEMENT = 0.99


@dataclass(frozen=True)
class Simulation:
    """An INT8 artifact as a kind of CPU answers.

    Attributes:
        cpu: the kind of CPU.
        rows: how many were answered, chosen by seed.
        saturable: products whose weights can saturate without VNNI -> the share of their pairs of weights that can.
        agreement: share of predictions that are those of exact arithmetic; numbers agree within 1% of their range.
        metrics: metric -> its value on the CPU.
        exact: metric -> its value in exact arithmetic.
    """

    cpu: str
    rows: int
    saturable: Mapping[str, float]
    agreement: float
    metrics: Mapping[str, float]
    exact: Mapping[str, float]

    @property
    def safe(self) -> bool:
        """Whether as good as all predictions are those of exact arithmetic."""
        return self.agreement >= LEAST_AGREEMENT

    def details(self) -> dict[str, Any]:
        """As plain data, with the number of the products in place of their names."""
        return dataclasses.asdict(self) | {"saturable": len(self.saturable)}

    def __str__(self) -> str:
        metrics = ", ".join(f"{name} {100 * value:.1f}" for name, value in self.metrics.items())
        exact = ", ".join(f"{100 * value:.1f}" for value in self.exact.values())
        return (
            f"on {self.cpu} {100 * self.agreement:.1f}% of {self.rows} predictions are those of exact arithmetic: "
            f"{metrics} against {exact}; {len(self.saturable)} products have weights that can saturate without VNNI"
        )


def simulate_cpu(
    path: Path,
    cpu: SimulatedCpu,
    data: Data,
    split: Split,
    *,
    rows: int = SIMULATED_ROWS,
    progress: Progress = SILENT,
) -> Simulation:
    """Answer some rows of a split as a kind of CPU would, and in exact arithmetic.

    Args:
        path: a folder with one INT8 graph.
        cpu: what to simulate.
        data: the rows; its seed chooses among them.
        split: where they are.
        rows: at most so many.
        progress: where progress goes.
    """
    runtime, processor = SimulatedRuntime(path, cpu), data.task.load_processor(path)
    some = data.sampled(split, rows, data.seed)
    answers = [answer_split(runtime, processor, some, split, progress, f"simulating {cpu}")]
    if cpu in SATURATING and runtime.products:  # there is something to compare
        answers.append(answer_split(_exact(path), processor, some, split, progress, "exact arithmetic"))
    metric = data.task.metrics(data.labels)[0]
    values = [over_rows(data.task.statistic(metric, each, data.labels), len(each["row_id"])) for each in answers]
    return Simulation(
        cpu=cpu,
        rows=len(some.rows.splits[split]),
        saturable=runtime.products,
        agreement=agreement(answers[0]["prediction"], answers[-1]["prediction"]),
        metrics={metric: values[0]},
        exact={metric: values[-1]},
    )


def check_target(path: Path, cpu: str, run: Run) -> dict[str, Any]:
    """Simulate an INT8 artifact for its target, where answers there may be others than on this host.

    Args:
        path: its folder or graph.
        cpu: the target's kind of CPU; what is none (a runtime with rules of its own) is not simulated.
        run: gives the rows: of validation, or of the first split where there is none.

    Returns:
        For the artifact's details: `simulated`, or nothing where this host gives the target's integers.

    Raises:
        StageError: on the target too many predictions would be others than in exact arithmetic.
    """
    host = cpu_of(describe_host().flags)
    if cpu not in get_args(SimulatedCpu) or not SATURATING & {cpu, host}:
        return {}
    products = len(saturable(optimized_for(model_file(path), cpu)))
    if products == 0:
        logger.info("%s: no weights can saturate: %s and every other CPU give the same integers", run.name, cpu)
        return {"simulated": {"cpu": cpu, "saturable": 0}}
    split: Split = "validation" if "validation" in run.data.rows.splits else next(iter(run.data.rows.splits))
    made = simulate_cpu(path, cast("SimulatedCpu", cpu), run.data, split, progress=run.progress)
    logger.info("%s: %s", run.name, made)
    if not made.safe:
        raise StageError(f"{run.name}: {made}; fit weights into 7 bits (`reduce_range`): leave that to `target: {cpu}`")
    return {"simulated": made.details()}


def saturation_here(path: Path) -> str | None:
    """What makes an ONNX artifact's answers on this host others than those of exact arithmetic; None when nothing."""
    host = cpu_of(describe_host().flags)
    if host not in SATURATING:
        return None
    products = len(saturable(optimized_for(model_file(path), host)))
    if products == 0:
        return None
    return (
        f"{path.name}: 8-bit weights of {products} products can saturate on this CPU ({host}): its answers here are "
        "not those of a CPU with VNNI; quantize with `target: auto` for this one"
    )


def _exact(path: Path) -> Runtime:
    """Exact arithmetic: that of this host, where it has it, since its own kernels are faster."""
    if cpu_of(describe_host().flags) in SATURATING:
        return SimulatedRuntime(path, "avx512_vnni")
    return OnnxRuntime(path)
