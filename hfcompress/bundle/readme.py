"""A bundle's README.md: what it is, how it is measured, and what nobody has tried."""

from __future__ import annotations

from hfcompress.bundle.config import Target
from hfcompress.bundle.description import Bundle

_NEEDS = {
    "tensorrt": "Python 3.10 or newer, numpy, and TensorRT with `trtexec` and its Python bindings",
    "onnxruntime": "Python 3.10 or newer and `pip install numpy onnxruntime`",
    "openvino": "Python 3.10 or newer and `pip install numpy openvino`",
}
_JETSON = """\
JetPack brings TensorRT: `trtexec` is `/usr/src/tensorrt/bin/trtexec`, and `sudo apt-get install python3-libnvinfer` has
the bindings of the system's own Python (JetPack 6: 3.10; its numpy is `python3-numpy`). Before measuring:

    nvpmodel -p --verbose         # the power modes of this board; their numbers differ from board to board
    sudo nvpmodel -m 0            # MAXN on a Jetson AGX Orin; measurement.json says which mode it was
    sudo jetson_clocks            # clocks at the maximum of that mode, until the next start

(NVIDIA Jetson Linux Developer Guide, "Platform Power and Performance".) The GPU shares the memory of the system: the
builder takes at most 2048 MiB of workspace, `WORKSPACE_MB=512 ./build.sh` less; on a board of 4 or 8 GB stop the
desktop first (`sudo systemctl isolate multi-user.target`). Engines are built on the board itself.
"""
_TRTEXEC = """\
The builder takes at most 4096 MiB of workspace; `WORKSPACE_MB=1024 ./build.sh` less. trtexec comes with NVIDIA's
archive and packages of TensorRT and with their containers; the wheel `tensorrt` has the bindings without it.
"""
_ENGINE = """\
    ./build.sh                    # once: {engine} for this GPU
    python3 measure.py            # measurement.json
"""
_PLAIN = """\
    python3 measure.py            # measurement.json
"""
_PROVIDER = """\
`python3 measure.py --provider CUDAExecutionProvider` measures another execution provider of ONNX Runtime, where the
installed build has it; one that would leave operators to the CPU is refused, but for those that compute sizes beside
CUDA. An older ONNX Runtime cannot tell who computes what, and refuses these too.
"""
_DEVICE = """\
`python3 measure.py --provider GPU` measures another device of OpenVINO, where it has it; one that chooses by itself
(AUTO, HETERO, MULTI) and a precision that the device does not compute in are refused.
"""
_UNTRIED = (
    "`build.sh` and the TensorRT part of `measure.py` follow NVIDIA's documentation and have never run on a GPU; what "
    "they say of themselves when they fail is worth a report."
)
_TRIED = "`measure.py` has run with this runtime on x86-64 CPUs alone."


def readme_of(bundle: Bundle) -> str:
    """The text."""
    parts = [
        f"# {bundle.artifact.name} for {bundle.target}",
        f"A model for {bundle.task} that measures itself here. It needs {_NEEDS[bundle.runtime]}; nothing of "
        "hfcompress, and no network.",
        (_PLAIN if bundle.engine is None else _ENGINE.format(engine=bundle.engine)).rstrip("\n"),
        *_notes(bundle.target),
        _measured(bundle),
        "Then, where the run is:\n\n    hfcompress report RUN --add measurement.json",
        f"`sha256sum -c SHA256SUMS` checks every file; the scripts do so first. The sample holds {bundle.rows} rows of "
        f"the split `{bundle.split}` as the model's own inputs: numbers, from which whoever has the tokenizer can read "
        "the texts, and from pixels everybody the images.",
        _UNTRIED if bundle.runtime == "tensorrt" else _TRIED,
    ]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def _notes(target: Target) -> list[str]:
    notes: dict[Target, str] = {"jetson": _JETSON, "trtexec": _TRTEXEC, "onnxruntime": _PROVIDER, "openvino": _DEVICE}
    return [notes[target]]


def _measured(bundle: Bundle) -> str:
    answers = (
        "accuracy on the sample, "
        if bundle.metric
        else f"no metric, which for {bundle.task} is made of more than single outputs; "
    )
    return (
        "It measures latency (p50, p90, p95, p99 of single calls), throughput on the sample (sorted by length, in "
        f"batches of {bundle.benchmark.batch}), peak memory, {answers}and agreement with the answers of "
        f"{bundle.reference.runtime} that travel along: the share of equal decisions, and how far outputs lie apart. A "
        "call takes arrays of the host and gives arrays of the host."
    )
