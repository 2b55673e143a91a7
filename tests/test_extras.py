"""A missing package is one error with the exact command that installs it."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from hfcompress import extras
from hfcompress.errors import ExtraError, InputError
from hfcompress.extras import EXTRAS, is_installed, require


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"present": ("json", "os.path"), "absent": ("json", "no_such_module", "no_parent.child")}
    monkeypatch.setattr(extras, "EXTRAS", known)


@pytest.mark.usefixtures("made_up")
def test_an_extra_is_installed_when_all_of_its_modules_are_found() -> None:
    assert is_installed("present")
    assert not is_installed("absent")


@pytest.mark.usefixtures("made_up")
def test_what_is_installed_may_be_required() -> None:
    require("present", "the stage `x`")


@pytest.mark.usefixtures("made_up")
def test_what_is_missing_is_named_with_the_command() -> None:
    message = "the stage `x` needs no_such_module, no_parent.child, which is not installed; run: "
    with pytest.raises(ExtraError, match=re.escape(message + "pip install 'hfcompress[absent]'")) as caught:
        require("absent", "the stage `x`")
    assert isinstance(caught.value, InputError)
    assert caught.value.exit_code == 2


def test_every_extra_is_one_that_the_package_offers() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS) <= set(project["optional-dependencies"])


def test_looking_for_an_extra_imports_none_of_its_packages() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from hfcompress.extras import is_installed; is_installed('onnxruntime'); "
        "assert not {'onnxruntime', 'onnx', 'torch'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_export_without_its_extra_says_how_to_get_it(tmp_path: Path, classifier: Path) -> None:
    if is_installed("onnxruntime"):
        pytest.skip("the extra is installed here")
    from hfcompress.export.optimum import export_with_optimum

    with pytest.raises(ExtraError, match=r"the `export` stage needs .*pip install 'hfcompress\[onnxruntime\]'"):
        export_with_optimum(classifier, tmp_path, "text-classification", None)
    assert importlib.util.find_spec("optimum") is None or not list(tmp_path.iterdir())
