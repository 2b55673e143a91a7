"""What a teacher cache costs as the data grows: memory while it is filled and read, and the time of a lookup.

Each size is filled by a tiny random teacher and then read in shuffled batches, in a process of its own. Its anonymous
memory is sampled (`RssAnon` of /proc/self/status, so Linux only): pages of memory-mapped files are not in it, which the
system takes back whenever it likes. Memory is flat when the large cache takes no more of it than the small one.

    python scripts/bench_teacher_cache.py --rows 1000000 --json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from hfcompress.host import describe_host

TOKENS, VOCABULARY, BATCH, AT_ONCE = 8, 1000, 32, 512
#: Rows that are read back, whatever the size.
READ = 320_000


def main() -> None:
    """Fill and read two sizes, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--fewer", type=int, help="the size to compare with; default: a tenth")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(measure(arguments.rows, arguments.worker)))
        return
    sizes = (arguments.fewer or arguments.rows // 10, arguments.rows)
    few, many = (in_process(rows) for rows in sizes)
    growth = many["peak_mb"] - few["peak_mb"]
    show((few, many), growth)
    if arguments.json:
        print(json.dumps({"memory_growth_mb": growth, "lookup_ms": many["lookup_ms"], "fewer": few, "rows": many}))


def in_process(rows: int) -> dict[str, float]:
    """`measure` in a fresh process and a fresh folder."""
    with TemporaryDirectory(prefix="hfcompress-bench-") as folder:
        command = [sys.executable, __file__, "--rows", str(rows), "--worker", folder]
        run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        measured: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
        return measured


def measure(rows: int, folder: Path) -> dict[str, float]:
    """Make the rows, fill, read; memory in MB (10^6 bytes) beyond what is there before the first row is asked about."""
    from hfcompress.training.cache.fill import Questions, fill
    from hfcompress.training.cache.identity import Identity
    from hfcompress.training.cache.kept import Keep
    from hfcompress.training.cache.store import TeacherCache
    from hfcompress.training.cached_teacher import CachedTeacher
    from hfcompress.training.heads import head_of

    data, teacher = make_rows(rows, folder / "rows.arrow"), tiny_teacher()
    identity = Identity("text-classification", "tiny", "float32", {"rows": rows}, "none", Keep())
    cache = TeacherCache(folder / "cache", identity)
    with PeakMemory() as memory:
        started = time.perf_counter()
        fill(cache, Questions(teacher, data, collate, batch_size=AT_ONCE))
        seconds = time.perf_counter() - started
        filled = memory.peak
        cached = CachedTeacher(cache, "tiny", teacher.model.config, head_of(teacher.model))
        lookup_times(cached, rows)
    times = lookup_times(cached, rows)  # without the thread that samples, which holds the interpreter's lock
    return {
        "rows": rows,
        "before_mb": memory.before / 1e6,
        "fill_peak_mb": (filled - memory.before) / 1e6,
        "peak_mb": (memory.peak - memory.before) / 1e6,
        "fill_s": seconds,
        "lookup_ms": float(np.median(times) * 1e3),
        "lookup_p99_ms": float(np.percentile(times, 99) * 1e3),
        "cache_mb": sum(path.stat().st_size for path in cache.folder.rglob("*.npy")) / 1e6,
    }


def lookup_times(teacher: Any, rows: int) -> np.ndarray:
    """Seconds of each answer to a batch of shuffled rows."""
    import torch

    generator, times = np.random.default_rng(0), []
    for _ in range(READ // BATCH):
        batch = {"row_id": torch.from_numpy(row_ids(generator.integers(rows, size=BATCH)))}
        started = time.perf_counter()
        teacher.answer(batch)
        times.append(time.perf_counter() - started)
    return np.array(times)


class PeakMemory:
    """Samples the anonymous memory of this process, in bytes, every 10 ms while the block runs."""

    def __enter__(self) -> PeakMemory:
        """Begin."""
        self.before = self.peak = anonymous_bytes()
        self._end = Event()
        self._thread = Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """End."""
        self._end.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._end.wait(0.01):
            self.peak = max(self.peak, anonymous_bytes())


def anonymous_bytes() -> int:
    """`RssAnon` of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/status has no RssAnon; this benchmark needs Linux 4.5 or newer")


def make_rows(rows: int, path: Path) -> Any:
    """A dataset on disk of `TOKENS` random tokens a row, whose ids are not in order."""
    import pyarrow as pa
    from datasets import Dataset

    generator = np.random.default_rng(0)
    schema = pa.schema([("input_ids", pa.list_(pa.int64())), ("row_id", pa.int64()), ("length", pa.int64())])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for start in range(0, rows, 10_000):
            count = min(10_000, rows - start)
            tokens = pa.array(generator.integers(VOCABULARY, size=count * TOKENS))
            ids = pa.ListArray.from_arrays(pa.array(np.arange(0, count * TOKENS + 1, TOKENS, dtype=np.int32)), tokens)
            columns = [ids, pa.array(row_ids(np.arange(start, start + count))), pa.array([TOKENS] * count)]
            writer.write_batch(pa.record_batch(columns, schema))
    return Dataset.from_file(str(path))


def row_ids(places: np.ndarray) -> np.ndarray:
    """Unique, and in no order (multiplied by an odd number, modulo 2^32), so that the index has something to sort."""
    return places * 2654435761 % 2**32


def tiny_teacher() -> Any:
    """A random BERT of one layer."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from hfcompress.training.teachers import Teacher

    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return Teacher(BertForSequenceClassification(BertConfig(**sizes, vocab_size=VOCABULARY, num_labels=2)))


def collate(rows: Sequence[Any]) -> dict[str, np.ndarray]:
    """A batch of rows of equal length."""
    ids = np.array([row["input_ids"] for row in rows])
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "row_id": np.array([row["row_id"] for row in rows])}


def show(measured: Sequence[dict[str, float]], growth: float) -> None:
    """A table for people."""
    host = describe_host()
    table = Table(title=f"teacher cache, on {host.cpu}, one thread", title_justify="left")
    for name in ("", *(f"{part['rows']:,.0f} rows" for part in measured)):
        table.add_column(name, justify="right" if name else "left")
    for name in ("fill_s", "cache_mb", "fill_peak_mb", "peak_mb", "lookup_ms", "lookup_p99_ms"):
        table.add_row(name, *(f"{part[name]:.3g}" for part in measured))
    table.add_section()
    table.add_row("memory_growth_mb", "", f"{growth:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
