"""Our static INT8 of ResNet-50 beside its own fp32 export, both in ONNX Runtime, in one run.

    python scripts/bench_int8.py --model resnet50 --json
    python scripts/bench_resnet.py --json                  # the same

Images of 3 x 224 x 224 in batches of 1 and of 8; weights are random, batch-norms have seen noise. Both go through the
pipeline's own stages and its own runtime, with the same number of threads; ranges are found by percentile on 16 made-up
images. The two take turns, so that other load on the machine meets both. `speedup` is the geometric mean of
`speedup_batch_1` and `speedup_batch_8`, each the median of the ratios round by round: above 1 INT8 is faster.
`integer_operators` are those that ONNX Runtime runs in integers, `cosine` is that of the logits of both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import ConvNextImageProcessor, ResNetConfig, ResNetForImageClassification, set_seed

from hfcompress import export_onnx
from hfcompress.host import default_threads, describe_host
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.operators import integer_operator_count
from hfcompress.quantize.quantizer import quantizer_for
from hfcompress.quantize.targets import scheme_for
from hfcompress.recipe.quantization import Calibration
from hfcompress.recipe.stages import QuantizeConfig
from hfcompress.runtimes.onnxruntime import OnnxRuntime

SHAPE = (3, 224, 224)
BATCHES = (1, 8)
#: Seconds after which threads that wait for work have gone to sleep.
PAUSE = 0.1


def main() -> None:
    """Make, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    arguments = parser.parse_args()
    bench(arguments.rounds, arguments.threads, as_json=arguments.json)


def bench(rounds: int, threads: int, *, as_json: bool) -> None:
    """Everything, with the result printed."""
    with TemporaryDirectory(prefix="hfcompress-bench-") as name:
        fp32, int8 = make(Path(name))
        runtimes = OnnxRuntime(fp32, threads=threads), OnnxRuntime(int8, threads=threads)
        seconds = {batch: take_turns(runtimes, batch, rounds) for batch in BATCHES}
        before, after = (runtime.predict(images(8, seed=1))["logits"].ravel() for runtime in runtimes)
        figures: dict[str, float] = {
            **{f"speedup_batch_{batch}": ratio(pairs) for batch, pairs in seconds.items()},
            "speedup": statistics.geometric_mean(ratio(pairs) for pairs in seconds.values()),
            "integer_operators": integer_operator_count(model_file(int8)),
            "cosine": float(before @ after / (np.linalg.norm(before) * np.linalg.norm(after))),
        }
    show(seconds, figures, threads)
    if as_json:
        print(json.dumps(figures))


def make(folder: Path) -> tuple[Path, Path]:
    """The fp32 export and INT8 for this CPU."""
    set_seed(0)
    model = ResNetForImageClassification(ResNetConfig(num_labels=1000)).train()
    with torch.no_grad():
        model(torch.randn(8, *SHAPE))
    model.eval().save_pretrained(folder / "torch")
    ConvNextImageProcessor(size={"shortest_edge": SHAPE[-1]}).save_pretrained(folder / "torch")
    export_onnx(folder / "torch", folder / "fp32")
    config = QuantizeConfig(calibration=Calibration(method="percentile"))
    quantizer_for(config, folder / "fp32", scheme_for("auto", describe_host().flags), calibration)(folder / "int8")
    return folder / "fp32", folder / "int8"


def calibration() -> Iterator[dict[str, np.ndarray]]:
    """16 images."""
    return (images(4, seed=seed) for seed in range(4))


def images(count: int, seed: int) -> dict[str, np.ndarray]:
    """Noise."""
    return {"pixel_values": np.random.default_rng(seed).standard_normal((count, *SHAPE), dtype=np.float32)}


def take_turns(runtimes: tuple[OnnxRuntime, OnnxRuntime], batch: int, rounds: int) -> list[tuple[float, float]]:
    """Seconds of a call of the one and of the other, round by round; the one that begins changes."""
    inputs, pairs = images(batch, seed=0), []
    for number in range(rounds):
        seconds = [0.0, 0.0]
        for side in (0, 1) if number % 2 else (1, 0):
            time.sleep(PAUSE)
            runtimes[side].predict(inputs)
            begin = time.perf_counter()
            runtimes[side].predict(inputs)
            seconds[side] = time.perf_counter() - begin
        pairs.append((seconds[0], seconds[1]))
    return pairs


def ratio(pairs: list[tuple[float, float]]) -> float:
    """How many times as fast the second one is."""
    return statistics.median(first / second for first, second in pairs)


def show(seconds: dict[int, list[tuple[float, float]]], figures: dict[str, float], threads: int) -> None:
    """A table for people."""
    host = describe_host()
    vnni = "with" if host.flags.get("avx512_vnni") or host.flags.get("avx_vnni") else "without"
    title = f"ResNet-50 on {host.cpu} {vnni} VNNI, {threads} threads; onnxruntime {host.versions['onnxruntime']}"
    table = Table(title=title, title_justify="left")
    for heading in ("batch", "fp32, ms", "INT8, ms", "speed-up"):
        table.add_column(heading, justify="right")
    for batch, pairs in seconds.items():
        medians = (1000 * statistics.median(side) for side in zip(*pairs, strict=True))
        table.add_row(str(batch), *(f"{value:.1f}" for value in medians), f"{ratio(pairs):.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
