from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import hfcompress.recipe

_HEAVY = ("torch", "transformers", "datasets", "evaluate", "numpy", "optimum", "onnxruntime")


def test_loading_a_recipe_imports_nothing_heavy(example_text: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(example_text, encoding="utf-8")
    code = (
        "import sys, hfcompress.recipe as r\n"
        f"recipe = r.load_recipe({str(tmp_path / 'x.yaml')!r})\n"
        "r.dump_recipe(recipe), r.recipe_json_schema(), r.init_recipe(recipe.task, 'a/b'), r.stage_order(recipe)\n"
        f"print([name for name in {_HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_all_is_sorted_and_true() -> None:
    names = hfcompress.recipe.__all__
    constants = [name for name in names if name.isupper()]
    types = [name for name in names if not name.isupper() and name[0].isupper()]
    functions = [name for name in names if name.islower()]
    assert names == sorted(constants) + sorted(types) + sorted(functions)
    assert all(hasattr(hfcompress.recipe, name) for name in names)
