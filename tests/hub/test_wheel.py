"""What is installed from a wheel can render a card."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from hfcompress.hub.card import templates

ROOT = Path(__file__).parents[2]
RENDER = """
import sys
sys.path.insert(0, {wheel!r})
import hfcompress.hub.card as card
assert str(card.templates()).startswith({wheel!r}), card.templates()
sys.path.append({root!r})
from tests.hub import card_examples
print(card.render_card(card_examples.facts()), end="")
"""


def test_a_wheel_holds_the_templates_and_renders_the_same_card(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    folder = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    shipped = {path.name: path.read_bytes() for path in (folder / "hfcompress" / "model_cards").iterdir()}
    assert shipped == {path.name: path.read_bytes() for path in templates().iterdir()}
    render = RENDER.format(wheel=str(folder), root=str(ROOT))
    done = subprocess.run([sys.executable, "-c", render], cwd=tmp_path, capture_output=True, text=True, check=False)
    from hfcompress.hub.card import render_card
    from tests.hub import card_examples

    assert (done.stdout, done.stderr) == (render_card(card_examples.facts()), "")
