"""Recipes that serve in OpenVINO in every way there is: exported, quantized by NNCF, by our Q/DQ, and trained for it.

Everything that imports NNCF is in this file: that takes two seconds in each process that runs tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from hfcompress.artifact import read_manifest
from hfcompress.errors import InputError, StageError
from hfcompress.hub.layout import RunFacts, layout
from hfcompress.hub.scan import scan
from hfcompress.hub.verify import verify
from hfcompress.openvino_ir.core import _swap, keeping_signal_stack, openvino_core
from hfcompress.openvino_ir.file import MODEL, ir_file
from hfcompress.openvino_ir.layers import is_quantized, parameter_count
from hfcompress.openvino_ir.library import import_nncf, import_openvino
from hfcompress.pipeline.quantize import quantize_model
from hfcompress.pipeline.run import run_recipe
from hfcompress.quantize import nncf as nncf_module
from hfcompress.quantize.nncf import is_transformer, write_int8
from hfcompress.quantize.targets import SCHEMES, TargetName
from hfcompress.recipe import parse_recipe
from hfcompress.recipe.data import DataConfig
from hfcompress.recipe.stages import QuantizeConfig
from hfcompress.results import Results
from hfcompress.runtimes.load import load
from hfcompress.runtimes.onnxruntime import OnnxRuntime
from hfcompress.runtimes.openvino import OpenVinoRuntime
from hfcompress.runtimes.settings import Settings
from tests import int8_graphs, tiny
from tests.hub.published import write_publication

pytestmark = [pytest.mark.export, pytest.mark.openvino]

CALIBRATION = {"samples": 16}
#: Query, key, value, attention output and two of the feed-forward network of one layer, and the head's two.
PRODUCTS = 8


def recipe(model: Path, data: Path) -> dict[str, Any]:
    """Every way from a fine-tuned model, but for training."""
    made = {"calibration": CALIBRATION, "allow_slower": True}
    raw = tiny.text_recipe(model, data)
    raw["data"]["limit"] = {"train": 32, "validation": 48, "test": 16}
    raw["stages"] = {
        "openvino": {"export": {"format": "openvino"}},
        "openvino-int8": {"quantize": made},
        "onnx": {"from": "source", "export": {}},
        "static": {"quantize": {**made, "target": "openvino"}},
    }
    return raw


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_bert(tmp_path_factory.mktemp("openvino") / "model", layers=1, head=True)


@pytest.fixture(scope="module")
def folder(model: Path, many_reviews: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.sched_getaffinity", lambda process: {0}, raising=False)  # as in every test below
        run_recipe(parse_recipe(recipe(model, many_reviews)), out=model.parent / "run")
    return model.parent / "run"


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return RunFacts.read(folder).results


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0}, raising=False)


def logits(folder: Path, name: str) -> np.ndarray:
    return np.array(pq.read_table(folder / "predictions" / f"{name}-test.parquet")["logits"].to_pylist())


def test_each_artifact_runs_in_what_it_was_made_for(results: Results) -> None:
    assert {artifact.name: (artifact.format, artifact.runtime) for artifact in results.artifacts} == {
        "source": ("torch", "torch"),
        "openvino": ("openvino", "openvino:CPU"),
        "openvino-int8": ("openvino", "openvino:CPU"),
        "onnx": ("onnx", "onnxruntime:CPUExecutionProvider"),
        "static": ("onnx", "openvino:CPU"),
    }
    assert results.passed


def test_every_product_is_integer_where_it_should_be_and_parameters_stay(folder: Path, results: Results) -> None:
    found = {artifact.name: artifact.integer_operators for artifact in results.artifacts}
    assert found == {
        "source": None,
        "openvino": 0,
        "openvino-int8": PRODUCTS,
        "onnx": 0,
        "static": PRODUCTS,
    }
    counts = {artifact.name: artifact.parameters for artifact in results.artifacts}
    assert counts["openvino"] == counts["openvino-int8"]
    assert (folder / "artifacts" / "openvino" / "openvino_model.bin").stat().st_size >= 4 * counts["openvino"], "fp32"


def test_answers_are_those_of_pytorch_and_int8_decides_alike(folder: Path) -> None:
    source = logits(folder, "source")
    np.testing.assert_allclose(logits(folder, "openvino"), source, atol=1e-4)
    for name in ("openvino-int8", "static"):
        assert not np.allclose(logits(folder, name), source, atol=1e-4), "it is rounded"
        assert np.mean(logits(folder, name).argmax(-1) == source.argmax(-1)) >= 0.9


def test_openvino_and_onnx_runtime_answer_alike_on_one_qdq_graph(folder: Path) -> None:
    graph = folder / "artifacts" / "static"
    ours, theirs = OpenVinoRuntime(graph, settings=Settings(threads=1)), OnnxRuntime(graph, threads=1)
    batches = int8_graphs.text_batches(48, 16)
    found, expected = (np.concatenate([each.predict(batch)["logits"] for batch in batches]) for each in (ours, theirs))
    # Both round alike, but for values on the border of two integers, which move by a step.
    assert np.sqrt(np.square(found - expected).mean()) < 0.05 * expected.std()
    clear = np.abs(expected[:, 0] - expected[:, 1]) > 0.1 * expected.std()
    assert np.array_equal(found.argmax(-1)[clear], expected.argmax(-1)[clear])


def test_the_manifest_says_what_made_it(folder: Path) -> None:
    made = {name: read_manifest(folder / "artifacts" / name) for name in ("openvino", "openvino-int8", "static")}
    assert all(made.values())
    assert set(made["openvino"].versions) >= {"optimum-onnx", "openvino"}  # type: ignore[union-attr]
    assert set(made["openvino-int8"].versions) == {"openvino", "nncf"}  # type: ignore[union-attr]
    details = made["openvino-int8"].details  # type: ignore[union-attr]
    assert (details["target"], details["transformer"], details["smooth_alpha"]) == ("openvino", True, 0.95)
    assert made["static"].details["runtime"] == "openvino:CPU"  # type: ignore[union-attr]


def test_a_second_run_makes_nothing_again(folder: Path, model: Path, many_reviews: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "artifacts").rglob("*.xml")}
    run_recipe(parse_recipe(recipe(model, many_reviews)), out=folder)
    assert {path: path.stat().st_mtime_ns for path in (folder / "artifacts").rglob("*.xml")} == before


@pytest.fixture
def repository(folder: Path, tmp_path: Path) -> Path:
    """What a push would publish."""
    names = ("openvino", "openvino-int8", "static")
    publication = layout(RunFacts.read(folder), names, "someone/made")
    scan(publication)
    write_publication(publication, tmp_path / "someone" / "made")
    return tmp_path / "someone" / "made"


def test_a_repository_holds_the_graphs_under_the_names_that_loaders_know(repository: Path, folder: Path) -> None:
    found = {path.name for path in (repository / "openvino").iterdir()}
    assert found == {f"openvino_model{suffix}.{kind}" for suffix in ("", "_qint8_quantized") for kind in ("xml", "bin")}
    assert not verify(repository).faults
    texts = ["a good word1", "a bad word2 word3"]
    for name in ("openvino", "openvino-int8", "static"):
        ours = load(repository, "openvino", artifact=name, threads=1)
        theirs = load(folder / "artifacts" / name, "openvino", threads=1)
        batch = ours.preprocess(texts)
        np.testing.assert_allclose(ours.predict(batch)["logits"], theirs.predict(batch)["logits"], atol=1e-5)


def test_a_changed_graph_in_a_repository_is_found(repository: Path) -> None:
    graph = repository / "openvino" / MODEL
    graph.write_text(graph.read_text().replace("opset1", "extension", 1))
    assert any("openvino_model.xml" in fault for fault in verify(repository).faults)


def test_the_cards_program_gives_the_answers_that_were_measured(
    repository: Path, folder: Path, many_reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = (repository / "README.md").read_text()
    assert "pip install 'hfcompress[onnxruntime,openvino]" in card
    program = next(part for part in card.split("```python\n") if part.startswith("import openvino")).split("```")[0]
    texts = ["a good word1 word2", "a bad word3"]
    monkeypatch.chdir(repository.parents[1])
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repo, name: str(Path(repo) / name))
    monkeypatch.setattr("builtins.print", lambda *_: None)
    names: dict[str, Any] = {}
    with keeping_signal_stack():
        exec(compile(program.replace('["Write your own text here."]', repr(texts)), "card", "exec"), names)
    tokenizer = AutoTokenizer.from_pretrained(folder / "artifacts" / "openvino-int8")
    batch = dict(tokenizer(texts, padding=True, return_tensors="np"))
    expected = OpenVinoRuntime(folder / "artifacts" / "openvino-int8", settings=Settings(threads=1)).predict(batch)
    np.testing.assert_allclose(names["found"]["logits"], expected["logits"], atol=1e-5)


@pytest.fixture
def source(folder: Path) -> Path:
    return folder / "artifacts" / "openvino"


def calibrated(**changes: Any) -> QuantizeConfig:
    return QuantizeConfig(**{"calibration": CALIBRATION, **changes})


def test_skipped_layers_stay_in_floating_point(source: Path, tmp_path: Path) -> None:
    config = calibrated(skip=["*.attention.*", "bert.pooler"])
    details = write_int8(config, source, tmp_path, int8_graphs.text_batches(16, 8))
    left = {product.layer for product in OpenVinoRuntime(tmp_path).products() if not product.is_integer}
    attention = {f"bert.encoder.layer.0.attention.{name}" for name in ("self.query", "self.key", "self.value")}
    assert left == {*attention, "bert.encoder.layer.0.attention.output.dense", "bert.pooler.dense"}
    assert details["integer_operators"] == PRODUCTS - len(left)


def test_a_skip_that_fits_nothing_names_what_is_near(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"skip names 'bert\.encoder\.layer\.7', which fits no layer; there are"):
        write_int8(calibrated(skip=["bert.encoder.layer.7"]), source, tmp_path, [])


def test_no_padding_takes_part_in_calibration(source: Path, tmp_path: Path) -> None:
    """Rows of one batch with much padding, and the same rows alone, give the same bytes."""
    padded = int8_graphs.text_batches(8, 8)
    longer = [{name: np.pad(values, ((0, 0), (0, 20))) for name, values in batch.items()} for batch in padded]
    written = []
    for name, batches in (("a", padded), ("b", longer)):
        write_int8(calibrated(), source, tmp_path / name, batches)
        written.append((tmp_path / name / "openvino_model.bin").read_bytes())
    assert written[0] == written[1]


def test_a_core_that_nncf_leaves_behind_takes_no_stack_for_signals_along(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nncf, left = import_nncf(), []
    quantize = nncf.quantize

    def leaving(*args: Any, **kwargs: Any) -> Any:
        left.append(import_openvino().Core())
        assert left[0].available_devices
        assert _swap(None).ss_sp != before
        return quantize(*args, **kwargs)

    monkeypatch.setattr(nncf, "quantize", leaving)
    before = _swap(None).ss_sp
    write_int8(calibrated(), source, tmp_path, int8_graphs.text_batches(4, 4))
    assert left
    assert _swap(None).ss_sp == before


def test_what_is_quantized_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="openvino-int8 is quantized already; give `from` the fp32 export"):
        write_int8(calibrated(), folder / "artifacts" / "openvino-int8", tmp_path, [])


@pytest.mark.parametrize("target, largest", [("avx512_vnni", 127), ("avx2", 64)])
def test_where_products_saturate_weights_have_seven_bits(
    target: TargetName, largest: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nncf_module, "scheme_for", lambda *_: SCHEMES[target])
    write_int8(calibrated(), source, tmp_path, int8_graphs.text_batches(4, 4))
    nodes = openvino_core().read_model(ir_file(tmp_path)).get_ops()
    readers = [node for node in nodes if node.get_type_name() == "MatMul"]
    weights = [_integers_behind(reader) for reader in readers]
    assert max(int(np.abs(found.astype(np.int32)).max()) for found in weights if found is not None) in (
        largest,
        largest + 1,
    )


def _integers_behind(product: Any) -> np.ndarray | None:
    """The int8 constant of a product's weight, before it is scaled; None where both its factors are activations."""
    node = product.input_value(1).get_node()
    while node.get_type_name() in ("Multiply", "Subtract", "Convert"):
        node = node.input_value(0).get_node()
    found = node.data if node.get_type_name() == "Constant" else None
    return found if found is not None and found.dtype == np.int8 else None


@pytest.mark.slow
def test_smoothing_is_as_strong_as_asked_for(source: Path, tmp_path: Path) -> None:
    details = write_int8(calibrated(smooth=0.5), source, tmp_path, int8_graphs.text_batches(8, 8))
    assert details["smooth_alpha"] == 0.5


@pytest.mark.slow
def test_the_command_line_quantizes_such_a_folder_and_compares(
    source: Path, many_reviews: Path, tmp_path: Path
) -> None:
    data = DataConfig(path=str(many_reviews), splits={"train": "train", "validation": "validation"}, max_length=32)
    made = quantize_model(source, tmp_path / "int8", calibrated(), data)
    assert (made.target, made.integer_operators) == ("openvino", PRODUCTS)
    assert made.comparison is not None
    assert made.comparison.agreement > 0.9
    assert is_quantized(ir_file(tmp_path / "int8"))
    assert parameter_count(ir_file(tmp_path / "int8")) == parameter_count(ir_file(source))


def test_the_command_line_refuses_what_nncf_cannot_do(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"quantize has no calibration, but INT8 of OpenVINO's format is static"):
        quantize_model(source, tmp_path / "int8", QuantizeConfig())
    assert not (tmp_path / "int8").exists()


@pytest.mark.parametrize(
    "config, found",
    [
        ({"model_type": "bert"}, True),
        ({"model_type": "vit"}, True),
        ({"model_type": "resnet"}, False),
        ({"model_type": "convnext"}, False),
        ({"model_type": "unheard-of", "num_attention_heads": 2}, True),
        ({"model_type": "unheard-of"}, False),
    ],
)
def test_the_preset_for_transformers_is_for_what_attends(config: dict[str, Any], found: bool) -> None:
    assert is_transformer(config) is found


@pytest.mark.slow
def test_what_is_trained_for_openvino_is_what_it_answers(many_reviews: Path, tmp_path: Path) -> None:
    raw = tiny.text_recipe(tiny.save_bert(tmp_path / "model", layers=2), many_reviews)
    training = raw["stages"]["teacher"]["finetune"]["training"]
    raw["stages"] = {
        "teacher": raw["stages"]["teacher"],
        "aware": {"qat": {"target": "openvino", "allow_slower": True, "training": {**training, "learning_rate": 1e-3}}},
        "onnx": {"export": {}},
        "openvino": {"from": "aware", "export": {"format": "openvino"}},
    }
    results = run_recipe(parse_recipe(raw), out=tmp_path / "run")
    aware = logits(tmp_path / "run", "aware")
    for name in ("onnx", "openvino"):
        made = results.artifact(name)
        assert (made.runtime, made.integer_operators) == ("openvino:CPU", 14)
        assert np.array_equal(logits(tmp_path / "run", name).argmax(-1), aware.argmax(-1))
