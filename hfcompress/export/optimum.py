"""The one place that calls Optimum's exporter, so that a second exporter can come beside it."""

from __future__ import annotations

import warnings
from pathlib import Path

from hfcompress.errors import InputError, StageError
from hfcompress.extras import require
from hfcompress.models.fake_quant.exporting import exporting
from hfcompress.models.fake_quant.folder import Structure, read_structure
from hfcompress.models.quiet import quiet
from hfcompress.onnx_graph.file import model_file
from hfcompress.onnx_graph.integer_weights import store_integer_weights_
from hfcompress.recipe.tasks import TaskName

#: The first operator sets that have QuantizeLinear, and that with one scale for each channel.
_PER_TENSOR_OPSET, _PER_CHANNEL_OPSET = 10, 13


def export_with_optimum(
    source: Path, out: Path, task: TaskName, opset: int | None, *, trust_remote_code: bool = False
) -> None:
    """Write `model.onnx`, the config and the processor of a torch model folder into `out`.

    A fake-quantized model becomes a Q/DQ graph whose weights are integers, or (`whole_pairs`) are quantized in it.

    Raises:
        ExtraError: Optimum is not installed.
        InputError: an `opset` that cannot hold a fake-quantized model.
        StageError: Optimum cannot export this model; its reason.
    """
    require("onnxruntime", "the `export` stage")
    structure = read_structure(source)
    if structure is not None:
        _check_opset(opset, structure)
    try:
        # Tracer warnings and log lines tell a user nothing that the numerical check does not prove.
        with quiet("optimum", "torch.onnx", "transformers"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if structure is None:
                _export_folder(source, out, task, opset, trust_remote_code)
            else:
                _export_fake_quantized(source, out, task, opset, trust_remote_code)
                if not structure.scheme.whole_pairs:
                    _store_integer_weights(out)
    except (ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise StageError(f"Optimum could not export {source.name} for {task}: {error}") from error


def _export_folder(source: Path, out: Path, task: TaskName, opset: int | None, trust_remote_code: bool) -> None:
    from optimum.exporters.onnx import main_export

    main_export(
        str(source),
        str(out),
        task=task,
        opset=opset,
        # It uses dummy inputs and only warns: ours compares real rows and fails.
        do_validation=False,
        local_files_only=True,
        trust_remote_code=trust_remote_code,
        library_name="transformers",
    )


def _export_fake_quantized(source: Path, out: Path, task: TaskName, opset: int | None, trust_remote_code: bool) -> None:
    from optimum.exporters.onnx import onnx_export_from_model
    from optimum.utils.save_utils import maybe_load_preprocessors

    from hfcompress.models.loading import load_model

    model = load_model(source, task, trust_remote_code=trust_remote_code)
    with exporting(model):
        onnx_export_from_model(
            model,
            str(out),
            task=task,
            opset=opset,
            do_validation=False,
            preprocessors=maybe_load_preprocessors(str(source), trust_remote_code=trust_remote_code),
        )


def _store_integer_weights(folder: Path) -> None:
    import onnx

    path = model_file(folder)
    graph = onnx.load(path)
    store_integer_weights_(graph)
    for outside in folder.glob("*.onnx_data"):  # a quarter of it fits into one file
        outside.unlink()
    onnx.save(graph, path)


def _check_opset(opset: int | None, structure: Structure) -> None:
    per_channel = structure.scheme.weights.per_channel
    lowest = _PER_CHANNEL_OPSET if per_channel else _PER_TENSOR_OPSET
    if opset is not None and opset < lowest:
        raise InputError(
            f"opset is {opset}, and Q/DQ {'with one scale for each channel ' if per_channel else ''}needs {lowest}; "
            f"leave `opset` out, or set it to {lowest} or more"
        )
