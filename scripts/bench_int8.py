"""Our INT8 beside Optimum's, of the same weights, in one run.

Theirs: `optimum-cli export onnx`, `optimum-cli onnxruntime quantize --avx512_vnni` (`--arm64` on Arm), and Optimum's
own `ORTModelForSequenceClassification` with its tokenizer call as its documentation has it (`truncation=True,
padding=True`), rows in the order in which they come. Ours: the export of the pipeline, with the last layer for the
first token alone, dynamic INT8 for this CPU with the default settings, and `OnnxRuntime` with rows sorted by length.

    python scripts/bench_int8.py --json
    python scripts/bench_int8.py --model .demo/minilm --rounds 12
    python scripts/bench_int8.py --model resnet50        # static INT8 of ResNet-50 beside its fp32: see bench_resnet.py

`speedup_fixed` is the geometric mean over the grid of fixed batches, which both are given as the same arrays of token
ids: it holds the shorter last layer, what Python does around a call, per-channel weights (ours; theirs are per tensor,
which is faster and coarser: `--per_tensor` makes ours so too) and products of two activations (theirs quantizes them at
run time, ours leaves them in floating point). `speedup_stream` is from texts to logits, tokenizer included, on rows of
mixed lengths: it also holds the padding that sorting saves, so it needs a stream of which many rows are there at once.
`speedup_stream_max_length` is the same against `padding="max_length"`, the other common call.

Not compared: accuracy, beyond the share of rows with the same class; that is what the recipes measure. Both use the
same number of threads; each has its own settings of ONNX Runtime besides. Between turns there is a pause, since idle
threads of the other one would go on spinning. Without --model the weights are random in the sizes of MiniLM-L6.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bench_resnet
import numpy as np
import onnxruntime
import torch
from optimum.onnxruntime import ORTModelForSequenceClassification
from rich.console import Console
from rich.table import Table
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    set_seed,
)

from hfcompress import export_onnx, quantize_onnx
from hfcompress.host import default_threads, describe_host
from hfcompress.onnx_graph.file import model_file
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.tasks.text import INPUTS, encode, load_tokenizer, pad_inputs

VOCABULARY, MAX_LENGTH, BATCH = 30_522, 128, 32
#: Rows and tokens of the fixed batches.
GRID = ((1, 16), (1, 64), (32, 16), (32, 64))
CALLS_PER_TURN = 5
#: Seconds after which threads that wait for work have gone to sleep.
PAUSE = 0.1

Texts = Sequence[str]


def main() -> None:
    """Make, time, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a text encoder or classifier with its tokenizer, or `resnet50`")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--rows", type=int, default=256, help="of the stream")
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--per_tensor", action="store_true", help="one scale for a weight in ours too")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    arguments = parser.parse_args()
    if arguments.model == Path("resnet50"):
        bench_resnet.bench(arguments.rounds, arguments.threads, as_json=arguments.json)
        return
    set_seed(0)
    with TemporaryDirectory(prefix="hfcompress-bench-") as name:
        folder = Path(name)
        save_model(arguments.model, folder / "torch")
        ours = Ours(make_ours(folder, per_channel=not arguments.per_tensor), arguments.threads)
        theirs = Theirs(make_theirs(folder), arguments.threads)
        texts = make_texts(folder / "torch", arguments.rows)
        fixed = time_fixed(ours, theirs, arguments.rounds)
        streams = time_streams(ours, theirs, texts, arguments.rounds)
        agreement = float(np.mean(ours.stream(texts).argmax(1) == theirs.stream(texts).argmax(1)))
    figures = compare(fixed, streams) | {"agreement": agreement}
    show(fixed, streams, figures, arguments.threads)
    if arguments.json:
        print(json.dumps(figures))


def save_model(model: Path | None, out: Path) -> None:
    """A classifier of two classes with its tokenizer."""
    if model is not None:
        AutoModelForSequenceClassification.from_pretrained(model, num_labels=2).save_pretrained(out)
        AutoTokenizer.from_pretrained(model).save_pretrained(out)
        return
    sizes = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
    BertForSequenceClassification(BertConfig(vocab_size=VOCABULARY, **sizes)).save_pretrained(out)
    make_tokenizer().save_pretrained(out)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of made-up words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *(f"word{index}" for index in range(VOCABULARY - len(special)))]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **names)


def make_texts(folder: Path, count: int) -> list[str]:
    """Words of the tokenizer at random, as many a row as in the demo's sentences: 27 tokens on average."""
    rng = np.random.default_rng(0)
    words = sorted(word for word in AutoTokenizer.from_pretrained(folder).get_vocab() if word.isalnum())
    lengths = np.clip(rng.gamma(4.0, 25 / 4, size=count), 2, MAX_LENGTH - 2).astype(int)
    return [" ".join(map(str, rng.choice(words, size=length))) for length in lengths]


def make_ours(folder: Path, *, per_channel: bool) -> Path:
    """Export and quantize, as the pipeline's stages do."""
    export_onnx(folder / "torch", folder / "onnx")
    quantize_onnx(folder / "onnx", folder / "ours", per_channel=per_channel)
    return folder / "ours"


def make_theirs(folder: Path) -> Path:
    """The same with Optimum's command line."""
    optimum_cli("export", "onnx", "--model", folder / "torch", "--task", "text-classification", folder / "plain")
    cpu = "--arm64" if platform.machine().lower() in ("arm64", "aarch64") else "--avx512_vnni"
    optimum_cli("onnxruntime", "quantize", "--onnx_model", folder / "plain", cpu, "-o", folder / "theirs")
    return folder / "theirs"


def optimum_cli(*words: object) -> None:
    """Run `optimum-cli`."""
    command = [sys.executable, "-m", "optimum.commands.optimum_cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")


class Ours:
    """`OnnxRuntime`, and batches of rows of about one length."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.runtime = OnnxRuntime(folder, threads=threads)
        self.tokenizer = load_tokenizer(folder)

    def call(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """Arrays of token ids to logits."""
        return self.runtime.predict(batch)["logits"]

    def stream(self, texts: Texts) -> np.ndarray:
        """Texts to logits, in their order."""
        encoded = encode(self.tokenizer, list(texts), None, MAX_LENGTH)
        order = np.argsort([-len(ids) for ids in encoded["input_ids"]], kind="stable")
        logits = np.empty((len(texts), 2), dtype=np.float32)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            rows = [{name: encoded[name][index] for name in INPUTS} for index in chosen]
            logits[chosen] = self.call(pad_inputs(self.tokenizer, rows))
        return logits


class Theirs:
    """Optimum's model class, and its documented tokenizer call."""

    def __init__(self, folder: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.model = ORTModelForSequenceClassification.from_pretrained(
            folder, file_name=model_file(folder).name, session_options=options
        )
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def call(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """Arrays of token ids to logits; the class takes arrays as well as tensors."""
        return np.asarray(self.model(**batch).logits)

    def stream(self, texts: Texts, padding: str | bool = True) -> np.ndarray:
        """Texts to logits."""
        batches = (list(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH))
        options: dict[str, Any] = {"truncation": True, "padding": padding, "max_length": MAX_LENGTH}
        with torch.inference_mode():
            found = [self.model(**self.tokenizer(batch, return_tensors="pt", **options)).logits for batch in batches]
        return np.concatenate([np.asarray(logits) for logits in found])


def time_fixed(ours: Ours, theirs: Theirs, rounds: int) -> dict[tuple[int, int], tuple[float, float]]:
    """Shape -> median seconds of a call, ours and theirs."""
    seconds: dict[tuple[int, int], tuple[list[float], list[float]]] = {shape: ([], []) for shape in GRID}
    for number in range(rounds):
        for shape in GRID:
            batch = made_up(*shape)
            for side in (0, 1) if number % 2 else (1, 0):
                seconds[shape][side].extend(turn(lambda: (ours, theirs)[side].call(batch), CALLS_PER_TURN))  # noqa: B023
    return {shape: (statistics.median(a), statistics.median(b)) for shape, (a, b) in seconds.items()}


def time_streams(ours: Ours, theirs: Theirs, texts: Texts, rounds: int) -> dict[str, list[float]]:
    """Way -> seconds of each pass over the stream; pass i of all ways ran in one round."""
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours.stream(texts),
        "theirs": lambda: theirs.stream(texts),
        "theirs, max_length": lambda: theirs.stream(texts, padding="max_length"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways) if number % 2 else reversed(ways):
            seconds[name] += turn(ways[name], 1)
    return seconds


def turn(call: Callable[[], Any], count: int) -> list[float]:
    """Seconds of each of `count` calls, after a pause and a call that does not count."""
    time.sleep(PAUSE)
    call()
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return seconds


def made_up(rows: int, tokens: int) -> dict[str, np.ndarray]:
    """A batch without padding."""
    ids = np.random.default_rng(rows * tokens).integers(1000, 20_000, (rows, tokens))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def compare(fixed: dict[tuple[int, int], tuple[float, float]], streams: dict[str, list[float]]) -> dict[str, float]:
    """The ratios, each ours over theirs: above 1 ours is faster."""

    def over(way: str) -> float:
        return statistics.median(b / a for a, b in zip(streams["ours"], streams[way], strict=True))

    return {
        "speedup_fixed": statistics.geometric_mean(theirs / ours for ours, theirs in fixed.values()),
        "speedup_stream": over("theirs"),
        "speedup_stream_max_length": over("theirs, max_length"),
    }


def show(
    fixed: dict[tuple[int, int], tuple[float, float]],
    streams: dict[str, list[float]],
    figures: dict[str, float],
    threads: int,
) -> None:
    """A table for people."""
    host = describe_host()
    vnni = "with" if host.flags.get("avx512_vnni") or host.flags.get("avx_vnni") else "without"
    versions = ", ".join(f"{name} {host.versions[name]}" for name in ("onnxruntime", "optimum-onnx"))
    table = Table(title=f"INT8 on {host.cpu} {vnni} VNNI, {threads} threads; {versions}", title_justify="left")
    table.add_column("work")
    for heading in ("ours, ms", "theirs, ms", "speed-up"):
        table.add_column(heading, justify="right")
    for (rows, tokens), (ours, theirs) in fixed.items():
        table.add_row(f"{rows} x {tokens} tokens", f"{1000 * ours:.2f}", f"{1000 * theirs:.2f}", f"{theirs / ours:.2f}")
    table.add_row("fixed, geometric mean", "", "", f"{figures['speedup_fixed']:.2f} (goal 1.25)")
    table.add_section()
    ours = 1000 * statistics.median(streams["ours"])
    for name, padding, goal in (
        ("theirs", "padding=True", " (goal 2)"),
        ("theirs, max_length", 'padding="max_length"', ""),
    ):
        key = "speedup_stream" if name == "theirs" else "speedup_stream_max_length"
        theirs = 1000 * statistics.median(streams[name])
        table.add_row(f"stream, {padding}", f"{ours:.0f}", f"{theirs:.0f}", f"{figures[key]:.2f}{goal}")
    console = Console()
    console.print(table)
    console.print(f"the same class for {figures['agreement']:.1%} of the rows")


if __name__ == "__main__":
    main()
