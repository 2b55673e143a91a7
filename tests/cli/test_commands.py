"""Every command as a user types it: what it prints, where, and the exit code."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hfcompress.cli import failure, main
from hfcompress.errors import DataError, Terminated
from hfcompress.pipeline import run as pipeline_run
from hfcompress.pipeline.run import run_recipe
from hfcompress.recipe import dump_recipe, parse_recipe
from hfcompress.recipe.yaml_text import write_yaml
from hfcompress.training.stopping import StopOnRequest
from tests import tiny

Call = Callable[..., int]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run the command line in this process; gives its exit code."""
    monkeypatch.setattr(failure, "raise_on_sigterm", lambda: None)

    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["hfcompress", *(str(argument) for argument in arguments)])
        failure.show_traceback(False)
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return run


def training_only(encoder: Path, reviews: Path) -> dict[str, Any]:
    """A tiny recipe that needs no export."""
    made = tiny.text_recipe(encoder, reviews)
    del made["stages"]["onnx"], made["stages"]["int8"]
    return made


@pytest.fixture
def recipe(encoder: Path, reviews: Path, tmp_path: Path) -> Path:
    """`training_only` as a file."""
    path = tmp_path / "recipe.yaml"
    path.write_text(write_yaml(training_only(encoder, reviews)))
    return path


@pytest.fixture(scope="module")
def ran(encoder: Path, reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `training_only`."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    run_recipe(parse_recipe(training_only(encoder, reviews)), out=folder)
    return folder


def test_a_run_ends_with_tables_on_stdout_and_zero(call: Call, recipe: Path, tmp_path: Path, capfd: Any) -> None:
    assert call("run", recipe, "--out", tmp_path / "run") == 0
    out, err = capfd.readouterr()
    assert "teacher" in out
    assert "student" in out
    assert "teacher: training" in err
    assert "Traceback" not in err
    assert {"results.json", "report.md", "pareto.png", "pareto.svg"} <= {p.name for p in (tmp_path / "run").iterdir()}
    assert call("report", tmp_path / "run") == 0
    assert capfd.readouterr().out == out


def test_a_failed_gate_is_exit_code_one(call: Call, recipe: Path, ran: Path, tmp_path: Path, capfd: Any) -> None:
    shutil.copytree(ran, tmp_path / "run")
    recipe.write_text(recipe.read_text() + "gates:\n  - {artifact: student, min_speedup: 1000}\n")
    code = call("run", recipe, "--out", tmp_path / "run", "--format", "json")
    lines = capfd.readouterr().out.splitlines()
    assert code == failure.GATE_FAILED
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_quiet_says_nothing(call: Call, recipe: Path, tmp_path: Path, capfd: Any) -> None:
    override = "stages.teacher.finetune.training.num_train_epochs=1"
    assert call("run", recipe, "--out", tmp_path / "run", "--format", "quiet", "--set", override) == 0
    assert capfd.readouterr() == ("", "")


def test_bad_input_is_exit_code_two_and_one_message(call: Call, recipe: Path, capfd: Any) -> None:
    recipe.write_text(recipe.read_text().replace("keep_layers", "keep_layer"))
    assert call("run", recipe) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert "stages.student.distill.student.keep_layer: unknown key" in err
    assert "did you mean `keep_layers`?" in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(call: Call, tmp_path: Path, capfd: Any) -> None:
    assert call("validate", tmp_path / "none.yaml", "--debug") == 2
    assert "Traceback" in capfd.readouterr().err


def test_an_unknown_option_is_exit_code_two(call: Call, recipe: Path, capfd: Any) -> None:
    assert call("run", recipe, "--fast") == 2
    assert "--fast" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to go on"),
        (Terminated(), 143, "terminated; run the same command again to go on"),
        (TypeError("a defect"), 70, "internal error: TypeError: a defect; run again with --debug"),
    ],
)
def test_other_ends_have_their_own_codes(
    call: Call, recipe: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, says: str
) -> None:
    def fails(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(pipeline_run, "run_recipe", fails)
    assert call("run", recipe) == code
    assert says in capfd.readouterr().err


def test_sigterm_ends_a_run_with_143_and_leaves_no_half_artifact(recipe: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hfcompress", "run", str(recipe), "--out", str(tmp_path / "run")]
    slow = ["--set", "stages.teacher.finetune.training.num_train_epochs=2000"]
    process = subprocess.Popen([*command, *slow], stderr=subprocess.PIPE, text=True, env=os.environ)
    artifact = tmp_path / "run" / "artifacts" / ".teacher.tmp"
    deadline = time.monotonic() + 120
    while not artifact.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "terminated" in err
    assert "to go on" in err
    assert list((tmp_path / "run" / "artifacts").iterdir()) == []


def test_sigterm_in_training_is_143_and_the_command_that_goes_on(
    call: Call, recipe: Path, tmp_path: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Within the second step, whatever the machine is doing.
    monkeypatch.setattr(StopOnRequest, "on_step_begin", lambda stop, _args, state, *_, **__: raise_at(state, 1))
    arguments = ("run", recipe, "--out", tmp_path / "run")
    assert call(*arguments, "--fresh", "--set", "seed=1") == 143
    said = capfd.readouterr().err.splitlines()[-1]
    assert said == (
        f"terminated; a checkpoint of step 2 of 16 was saved; to go on: hfcompress run {recipe} --out "
        f"{tmp_path / 'run'} --set seed=1"
    )
    assert [path.name for path in (tmp_path / "run").glob("work/teacher-*/checkpoint-2")] == ["checkpoint-2"]
    assert list((tmp_path / "run" / "artifacts").iterdir()) == []


def raise_at(state: Any, step: int) -> None:
    if state.global_step == step:
        os.kill(os.getpid(), signal.SIGTERM)


def test_another_rank_is_silent_but_for_its_errors(
    call: Call, recipe: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)

    def fails(error: BaseException) -> None:
        def run_recipe(*_arguments: object, **_options: object) -> None:
            raise error

        monkeypatch.setattr(pipeline_run, "run_recipe", run_recipe)

    fails(Terminated("a checkpoint was saved"))
    assert call("run", recipe) == 143
    assert capfd.readouterr() == ("", "")
    fails(DataError("no such split"))
    assert call("run", recipe) == 2
    assert capfd.readouterr() == ("", "rank 3 (machine 1): error: no such split\n")


def test_a_launch_is_checked_before_it_starts(call: Call, recipe: Path, capfd: Any) -> None:
    assert call("run", recipe, "--accelerate", "cpu3") == 2
    assert "cpu2, deepspeed_zero2" in capfd.readouterr().err
    assert call("run", recipe, "--launch", "num_processes=2") == 2
    assert "name one with --accelerate" in capfd.readouterr().err


def test_a_dry_run_plans_for_the_processes_that_would_run(
    call: Call, recipe: Path, ran: Path, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")  # so that it is put back
    for options, state in (([], "cached"), (["--accelerate", "cpu2"], "to run")):
        assert call("run", recipe, "--out", ran, "--dry-run", *options) == 0
        assert state in capfd.readouterr().out.splitlines()[0]


def test_a_dry_run_prints_the_plan(call: Call, recipe: Path, tmp_path: Path, capfd: Any) -> None:
    assert call("run", recipe, "--out", tmp_path / "run", "--dry-run") == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["teacher", "finetune"], ["student", "distill"]]
    assert all("to run" in line and "MB" in line for line in lines)
    assert not (tmp_path / "run").exists()


def test_validate_never_imports_torch(recipe: Path) -> None:
    code = (
        "import sys; sys.argv = ['hfcompress', 'validate', sys.argv[1]]\n"
        "from hfcompress.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(recipe)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
    assert "is valid: teacher (finetune) -> student (distill)" in done.stdout


def test_init_writes_a_recipe_that_validates_and_never_overwrites(call: Call, tmp_path: Path, capfd: Any) -> None:
    for task in ("text-classification", "image-classification"):
        path = tmp_path / f"{task}.yaml"
        assert call("init", "--task", task, "--model", "some/model", "-o", path) == 0
        assert call("validate", path) == 0
        assert call("init", "--task", task, "--model", "some/model", "-o", path) == 2
    assert "exists; choose another --output" in capfd.readouterr().err


def test_schema_is_json_and_knows_the_verbs(call: Call, capfd: Any) -> None:
    assert call("schema") == 0
    assert "keep_layers" in json.dumps(json.loads(capfd.readouterr().out))


def test_doctor_names_the_host_and_the_int8_target(call: Call, capfd: Any) -> None:
    assert call("doctor", "--format", "json") == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["host"]["cores"] >= 1
    assert facts["int8"]["target"] in ("avx2", "avx512", "avx512_vnni", "arm64")
    assert call("doctor") == 0
    assert "INT8 target" in capfd.readouterr().out


def test_benchmark_compares_folders_on_data(call: Call, classifier: Path, reviews: Path, capfd: Any) -> None:
    options = ["--data", str(reviews), "--batch", "1", "--sequence", "8", "--repeats", "5", "--format", "json"]
    assert call("benchmark", classifier, *options) == 0
    last = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert "classifier" in json.dumps(last)


@pytest.mark.export
def test_explain_shows_what_costs_time_or_gives_it_as_json(
    call: Call, classifier: Path, tmp_path: Path, capfd: Any
) -> None:
    from hfcompress import export_onnx, quantize_onnx

    export_onnx(classifier, tmp_path / "onnx")
    quantize_onnx(tmp_path / "onnx", tmp_path / "int8")
    command = ["explain", tmp_path / "int8", "--against", tmp_path / "onnx", "--batch", 2, "--sequence", 8]
    command += ["--passes", 2, "--threads", 1, "--layers", 100]
    assert call(*command) == 0
    out = capfd.readouterr().out
    assert "int8 is" in out.splitlines()[0]
    assert "DynamicQuantizeMatMul" in out
    assert "bert.encoder.layer.0.output.dense" in out
    for form in (["--json"], ["--format", "json"]):
        assert call(*command, *form) == 0
        last = json.loads(capfd.readouterr().out.splitlines()[-1])
        assert last["event"] == "explanation"
        assert last["explanation"]["schema"] == "hfcompress.explanation/1"
    assert call(*command, "--format", "quiet") == 0
    assert capfd.readouterr() == ("", "")
    assert call("explain", tmp_path / "onnx", "--against", tmp_path / "onnx") == 2
    assert "give the INT8 model first" in capfd.readouterr().err
    assert call(*command, "--data", tmp_path, "--column", "text") == 2
    assert "--column should be ROLE=COLUMN" in capfd.readouterr().err


def test_report_draws_the_page_again_without_the_data(call: Call, ran: Path, tmp_path: Path) -> None:
    drawn = (ran / "report.html").read_bytes()
    assert b"Recipe, as it was run" in drawn
    assert b'"recipe":"tiny"' in drawn
    shutil.copytree(ran, tmp_path / "run")
    recipe = (tmp_path / "run" / "recipe.yaml").read_text(encoding="utf-8")
    moved = re.sub(r"(?m)^  path: .*$", "  path: nowhere", recipe)
    assert moved != recipe
    (tmp_path / "run" / "recipe.yaml").write_text(moved, encoding="utf-8")
    (tmp_path / "run" / "report.html").unlink()
    assert call("report", tmp_path / "run", "--format", "quiet") == 0
    again = (tmp_path / "run" / "report.html").read_bytes()
    assert _charts(again) == _charts(drawn)


def _charts(page: bytes) -> bytes:
    return page.partition(b'id="charts">')[2].partition(b"</script>")[0]


def test_several_runs_go_into_one_page_that_is_asked_for_by_name(
    call: Call, ran: Path, tmp_path: Path, capfd: Any
) -> None:
    assert call("report", ran, ran) == 2
    assert "say where with --html FILE" in capfd.readouterr().err
    assert call("report", ran, ran, "--html", tmp_path / "both.html") == 0
    assert "both.html" in capfd.readouterr().err
    assert "2 runs compared" in (tmp_path / "both.html").read_text(encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["both.html"]


def test_report_without_a_run_says_what_to_do(call: Call, tmp_path: Path, capfd: Any) -> None:
    assert call("report", tmp_path) == 2
    assert "run the recipe first" in capfd.readouterr().err


def test_a_recipe_dumped_by_a_run_is_the_recipe(recipe: Path) -> None:
    loaded = parse_recipe(recipe.read_text())
    assert parse_recipe(dump_recipe(loaded)) == loaded
