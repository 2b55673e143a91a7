"""Which runtime an artifact gets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hfcompress.errors import InputError
from hfcompress.runtimes.settings import Settings

if TYPE_CHECKING:
    from hfcompress.recipe.tasks import TaskName
    from hfcompress.runtimes.base import Runtime


def runtime_for(
    path: Path,
    format: str,
    task: TaskName,
    settings: Settings = Settings(),
    *,
    trust_remote_code: bool = False,
) -> Runtime:
    """Load an artifact into its runtime.

    Args:
        path: the artifact's folder.
        format: `torch`, `onnx` or `openvino`.
        task: what the model does.
        settings: what runs it, and how.
        trust_remote_code: whether a torch model may bring its own code.

    Raises:
        InputError: the format is unknown, or the runtime does not take it, or not that precision. Besides what the
            runtime itself raises.
    """
    wanted, _, target = (settings.runtime or "").partition(":")
    threads = _threads(settings)
    if settings.precision not in (None, "fp32") and wanted != "openvino" and format != "openvino":
        raise InputError(
            f"a precision of {settings.precision} is OpenVINO's alone; {path} is run by {wanted or format}, which "
            "computes as its file says: leave it out, or export with `dtype`"
        )
    # Imports sit inside the arms: a machine that serves ONNX needs no torch.
    match format, wanted:
        case "torch", "" | "torch":
            from hfcompress.runtimes.torch import TorchRuntime

            return TorchRuntime(path, task, threads, target or "cpu", trust_remote_code=trust_remote_code)
        case "onnx", "" | "onnxruntime":
            from hfcompress.runtimes.onnxruntime import CPU, OnnxRuntime

            return OnnxRuntime(path, target or CPU, threads=threads, streams=settings.streams)
        case "onnx", "simulated":
            from hfcompress.runtimes.simulated.runtime import SimulatedRuntime

            return SimulatedRuntime(path, target, threads=threads)
        case ("openvino", "" | "openvino") | ("onnx", "openvino"):
            from hfcompress.runtimes.openvino import CPU as OPENVINO_CPU
            from hfcompress.runtimes.openvino import OpenVinoRuntime

            return OpenVinoRuntime(path, target or OPENVINO_CPU, settings)
        case "torch" | "onnx" | "openvino", _:
            use = {"torch": "`torch`", "onnx": "`onnxruntime` or `openvino`", "openvino": "`openvino`"}[format]
            raise InputError(f"the runtime `{settings.runtime}` cannot run {path}, which is {format}; use {use}")
        case _:
            raise InputError(
                f"{path} has the format `{format}`, which no runtime takes; formats are torch, onnx and openvino"
            )


def _threads(settings: Settings) -> int | None:
    if settings.streams == 1 or settings.threads is not None:
        return settings.threads
    from hfcompress.host import default_threads

    return settings.threads_of(default_threads())
