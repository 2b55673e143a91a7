"""The tables behind the headline: every latency cell, every metric, further hosts, seconds, and what the host is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hfcompress.report.doubt import MARK, cell_name, latency_name, mark, remarks_on
from hfcompress.report.entries import Entry, entries
from hfcompress.report.figures import NOTHING, duration, number
from hfcompress.report.grid import Cell, Column, Table, numbers, unique, words
from hfcompress.report.table import difference_cell, metric_cell, runtime_name, speed_cells
from hfcompress.results import Results

#: Doubts that are named one by one.
_MOST_DOUBTS = 4
#: Flags of a host that decide how fast INT8 and bf16 are, as people write them.
_FLAGS = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX512-VNNI",
    "avx_vnni": "AVX-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "amx_int8": "AMX-INT8",
    "amx_bf16": "AMX-BF16",
    "asimddp": "dot product",
    "i8mm": "I8MM",
    "bf16": "BF16",
}
_LIBRARIES = ("torch", "transformers", "onnxruntime", "optimum-onnx", "openvino", "tensorrt")


def latency_table(results: Results) -> Table:
    """One row an artifact, one column a cell of the grid: p50, and p99 beside it."""
    shapes = unique_shapes(results)
    return Table(
        title="Latency of one call: p50 (p99), ms",
        columns=(*words("model"), *(_heading(*shape) for shape in shapes)),
        rows=tuple(_latencies(entry, shapes) for entry in entries(results) if entry.speed.latency),
        notes=_doubts(results),
    )


def latency_grid(results: Results) -> Table:
    """One row an artifact and cell, with every percentile."""
    rows = tuple(
        (
            Cell(entry.name),
            Cell(str(cell.batch)),
            Cell(NOTHING if cell.sequence is None else str(cell.sequence)),
            *(
                Cell(number(value) + mark(entry.speed, latency_name(cell)))
                for value in (cell.p50_ms, cell.p90_ms, cell.p95_ms, cell.p99_ms)
            ),
        )
        for entry in entries(results)
        for cell in entry.speed.latency
    )
    columns = (*words("model"), *numbers("batch", "sequence", "p50 ms", "p90 ms", "p95 ms", "p99 ms"))
    return Table("Latency of one call", columns, rows, notes=_doubts(results))


def metrics_table(results: Results) -> Table:
    """Every metric on every split, fractions in points, with its interval and the paired difference."""
    rows = tuple(
        (
            Cell(artifact.name),
            Cell(metric),
            Cell(found.split),
            metric_cell(metric, found),
            difference_cell(metric, paired, named=True),
        )
        for artifact in results.artifacts
        for metrics, differences in (
            (artifact.validation, artifact.validation_difference),
            (artifact.metrics, artifact.difference),
        )
        for metric, found in metrics.items()
        for paired in (differences.get(metric),)
    )
    return Table("Metrics", (*words("model", "metric", "split"), *numbers("value", "difference")), rows)


def hosts_table(results: Results) -> Table:
    """The figures of every host, where there is more than one, and how far answers there are from those here."""
    rows = tuple(
        (
            Cell(entry.artifact.name),
            Cell(_host_words(results, entry)),
            Cell(runtime_name(entry.speed, entry.artifact.format), _precision(entry)),
            Cell(str(entry.speed.threads)),
            *speed_cells(entry.speed),
            Cell(entry.agreement() or NOTHING),
            _distance(entry),
        )
        for entry in entries(results)
        if entry.artifact.measurements
    )
    columns = (
        *words("model", "host", "runtime"),
        *numbers("threads", "rows/s", "speed-up", "memory MB", "equal answers", "outputs differ"),
    )
    caption = (
        "Equal answers and outputs: beside those that travelled along in the bundle; the largest difference (rms)."
    )
    return Table("The same artifacts on every host", columns, rows, caption=caption)


def _host_words(results: Results, entry: Entry) -> str:
    host = results.hosts.get(entry.speed.host, {})
    mode = f" ({host['power_mode']})" if host.get("power_mode") else ""
    return f"{host.get('board') or host.get('cpu') or entry.speed.host}{mode}"


def _precision(entry: Entry) -> str:
    return entry.there.precision or "" if entry.there is not None else ""


def _distance(entry: Entry) -> Cell:
    found = entry.there.agreement if entry.there is not None else None
    return Cell() if found is None else Cell(number(found.max_difference), f"({number(found.rms_difference)})")


def seconds_table(results: Results) -> Table:
    """Where the time of the run went; nothing stands where everything came from the run folder."""
    rows = tuple(
        (Cell(stage), *(Cell(duration(value)) if value else Cell() for value in (spent.run, spent.measure)))
        for stage, spent in results.seconds.items()
    )
    return Table("Time", (*words("stage"), *numbers("run", "measure")), rows)


def host_lines(results: Results) -> list[str]:
    """One line a host: CPU, cores, threads, flags, versions."""
    return [_host_line(results, identity, host) for identity, host in results.hosts.items()]


def unique_shapes(results: Results) -> list[tuple[int, int | None]]:
    """The cells of the grid, smallest first."""
    shapes = {(cell.batch, cell.sequence) for entry in entries(results) for cell in entry.speed.latency}
    return sorted(shapes, key=lambda shape: (shape[0], shape[1] or 0))


def _heading(batch: int, sequence: int | None) -> Column:
    return Column(f"batch {batch}", "" if sequence is None else f"sequence {sequence}")


def _latencies(entry: Entry, shapes: list[tuple[int, int | None]]) -> tuple[Cell, ...]:
    known = {(cell.batch, cell.sequence): cell for cell in entry.speed.latency}
    cells = [Cell(entry.name, tone="plain" if entry.there else "strong")]
    for shape in shapes:
        cell = known.get(shape)
        doubt = mark(entry.speed, latency_name(cell)) if cell else ""
        cells.append(Cell(number(cell.p50_ms) + doubt, f"({number(cell.p99_ms)}{doubt})") if cell else Cell())
    return tuple(cells)


def _doubts(results: Results) -> tuple[str, ...]:
    """A line for each cell in doubt; when they are many, as on a busy machine, a line for each artifact."""
    shown = {f"latency at {cell_name(*shape)}" for shape in unique_shapes(results)}
    doubts = {
        entry.name: [text for text in remarks_on(entry.speed, shown) if text.startswith("latency at ")]
        for entry in entries(results)
        if not entry.speed.reliable
    }
    if sum(map(len, doubts.values())) <= _MOST_DOUBTS:
        return unique([f"{MARK} {name}: {remark}" for name, remarks in doubts.items() for remark in remarks])
    return tuple(
        f"{MARK} {name}: {len(remarks)} of {len(shown)} latencies are unreliable; results.json says how far their "
        "samples lie apart"
        for name, remarks in doubts.items()
        if remarks
    )


def _host_line(results: Results, identity: str, host: Mapping[str, Any]) -> str:
    return "; ".join(part for part in _host_parts(results, identity, host) if part)


def _host_parts(results: Results, identity: str, host: Mapping[str, Any]) -> Iterator[str]:
    yield str(host.get("board") or "")
    yield str(host.get("cpu") or identity)
    yield ", ".join(map(str, host.get("gpus") or ()))
    threads = {s.threads for a in results.artifacts for s in (a, *a.measurements) if s.host == identity and s.threads}
    cores = host.get("cores")
    used = " and ".join(map(str, sorted(threads)))
    yield f"{used} of {cores} cores used" if used and cores else f"{cores} cores" if cores else ""
    flags = host.get("flags") or {}
    yield ", ".join(name for flag, name in _FLAGS.items() if flags.get(flag))
    yield str(host.get("os") or "")
    versions = {"Python": host.get("python"), **{name: (host.get("versions") or {}).get(name) for name in _LIBRARIES}}
    yield ", ".join(f"{name} {version}" for name, version in versions.items() if version)
