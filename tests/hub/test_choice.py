from __future__ import annotations

from hfcompress.hub.choice import default_choice
from tests.report import examples


def test_the_exports_and_the_model_that_they_come_from_are_worth_publishing() -> None:
    assert default_choice(examples.demo()) == ("student", "onnx", "int8")


def test_a_step_of_training_for_int8_is_not_but_its_export_is() -> None:
    demo = examples.demo()
    further = (
        examples.artifact("qat", "qat", 0.87, 300, 69.7, parents=("student", "teacher")),
        examples.artifact("trained", "export", 0.87, 1200, 17.6, parents=("qat",)),
    )
    results = demo.model_copy(update={"artifacts": (*demo.artifacts, *further)})
    assert default_choice(results) == ("student", "onnx", "int8", "trained")


def test_an_engine_runs_on_one_kind_of_gpu_alone_and_is_not_worth_publishing() -> None:
    demo = examples.demo()
    engine = examples.artifact("trt", "engine", 0.87, 3000, 69.7, parents=("onnx",), format="onnx")
    results = demo.model_copy(update={"artifacts": (*demo.artifacts, engine)})
    assert default_choice(results) == ("student", "onnx", "int8")


def test_without_exports_it_is_what_nothing_else_is_made_from() -> None:
    demo = examples.demo()
    assert default_choice(demo.model_copy(update={"artifacts": demo.artifacts[:2]})) == ("student",)


def test_what_failed_a_gate_is_never_chosen() -> None:
    assert default_choice(examples.failed()) == ("teacher",)
