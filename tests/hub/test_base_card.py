from __future__ import annotations

from pathlib import Path

import pytest

from hfcompress.hub.base_card import BaseCard, read_base_card


def read(folder: Path, text: str) -> BaseCard:
    (folder / "README.md").write_text(text, encoding="utf-8")
    return read_base_card(folder)


def test_license_languages_and_base_are_read(tmp_path: Path) -> None:
    text = "---\nlanguage:\n- en\n- no\nlicense: apache-2.0\nbase_model: [a/b, c/d]\ntags: [x]\n---\n\nlicense: mit\n"
    assert read(tmp_path, text) == BaseCard("apache-2.0", None, None, ("en", "no"), ("a/b", "c/d"))


def test_a_license_of_its_own_has_a_name_and_a_link(tmp_path: Path) -> None:
    text = "---\r\nlicense: other\r\nlicense_name: own\r\nlicense_link: LICENSE.md\r\n---\r\n"
    assert read(tmp_path, text)[:3] == ("other", "own", "LICENSE.md")


@pytest.mark.parametrize(
    "text",
    [
        "# no front matter\nlicense: mit\n",
        "---\nlicense: mit\n",
        "---\nlicense: [mit, apache-2.0]\n---\n",
        "---\nlicense: {a: b}\n---\n",
        "---\nlicense: &a [*a]\n---\n",
        "---\nlicense: !!python/object/apply:os.system [true]\n---\n",
        f"---\nlicense: {'x' * 300}\n---\n",
        f"---\nlicense: [{'[' * 3000}\n---\n",
    ],
)
def test_what_is_not_said_plainly_is_unknown(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text).license is None


def test_a_fault_in_one_key_leaves_the_others(tmp_path: Path) -> None:
    assert read(tmp_path, "---\nlanguage: [en\nlicense: mit\n---\n") == BaseCard("mit")


def test_megabytes_of_results_are_not_parsed(tmp_path: Path) -> None:
    results = "\n".join(f"- task: {{type: t}}\n  value: {row}" for row in range(100_000))
    assert read(tmp_path, f"---\nmodel-index:\n{results}\nlicense: mit\n---\n").license == "mit"


def test_a_folder_without_a_card_says_nothing(tmp_path: Path) -> None:
    assert read_base_card(tmp_path) == BaseCard()
