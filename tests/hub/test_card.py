from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from hfcompress.hub.card import render_card
from hfcompress.hub.metadata import metadata
from tests.hub import card_examples as examples

#: Names that mean something in YAML, Markdown, HTML, Jinja or a terminal.
NASTY = [
    "---\nlicense: mit\n---",
    "x\n---\n\n# pwned",
    "a: b # c",
    "no",
    "[click](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "<script>alert(1)</script>",
    "| a | b |",
    "`code`",
    "**bold** _em_ ~~gone~~",
    "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "1. list",
    "- list",
    "> quotation",
    "https://evil.example www.evil.example a@b.example",
    "&lt;b&gt;",
    "\u202eesrever",
    "\ud800",
    "\\",
    "```\ncode\n```",
    "a\u2028b\x85c",
]


def body_of(card: str) -> list[Token]:
    """What a reader of GitHub's Markdown makes of the text below the front matter."""
    text = card.split("\n---\n", 1)[1]
    return MarkdownIt("gfm-like", {"linkify": False}).parse(text)


def structure(tokens: list[Token]) -> list[str]:
    """Every block and every span, without its text."""
    inline = [child.type for token in tokens for child in token.children or () if child.type != "text"]
    return [token.type for token in tokens] + [kind for kind in inline if kind != "softbreak"]


PLAIN = structure(body_of(render_card(examples.facts())))


def check(text: str) -> None:
    found = examples.results(label=text, path=text)
    source = found.models[0].model_copy(update={"id": text, "languages": (text,), "license": text})
    card = render_card(examples.facts(found.model_copy(update={"models": (source,)})))
    assert structure(body_of(card)) == PLAIN


@pytest.mark.parametrize("text", NASTY)
def test_no_name_changes_the_structure_of_the_page(text: str) -> None:
    check(f"{text} z")


@pytest.mark.parametrize("text", ["a | b", "50% *off*", "f1_macro", "_x_", "a\\b", "[1](2)", "<b>", "1. x", "&amp;"])
def test_a_label_is_shown_as_it_is(text: str) -> None:
    tokens = body_of(render_card(examples.facts(examples.results(label=text))))
    shown = ["".join(child.content for child in token.children or ()) for token in tokens if token.type == "inline"]
    assert text in shown


def test_a_template_is_not_run_by_what_it_shows() -> None:
    card = render_card(examples.facts(examples.results(label="{{ 7 * 7 }}")))
    assert "{{ 7 \\* 7 }}" in card
    assert "49" not in card.split("By class")[-1].split("How it was made")[0].replace("49.", "")


def test_the_card_says_what_was_measured() -> None:
    card = render_card(examples.facts())
    int8 = examples.results().artifact("int8")
    assert f"**int8**: accuracy {100 * int8.metrics['accuracy'].value:.1f}" in card
    assert "int8 answers 112 of 1,475 (7.6%) otherwise than teacher on the test split: 62 right answers became" in card
    assert "int8 loses most on the class negative: recall 85.0 in place of 87.0, over 768 rows." in card
    assert "| int8 | negative | 768 | 87.0 | 85.0 | -2.0 | 19 | 35 |" in card
    assert "![accuracy against throughput](pareto.png)" in card


def test_the_card_says_what_was_done() -> None:
    card = render_card(examples.facts())
    for sentence in (
        "source is someone/base at revision aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.",
        "**student** is teacher, distilled into a student.",
        "The student starts as layers 0, 2, 4 of teacher.",
        "0.9 times the KL divergence from the teacher's outputs (Hinton et al. 2015) at temperature 3 plus 0.1 times",
        "were calibrated by minmax on 512 rows of the training split at most.",
        "outputs differ by 1.4e-06 at most, and 0.001 was allowed.",
        "It took 100 optimizer steps. The last loss that was logged was 0.25.",
        "Training arguments: num_train_epochs 2.",
    ):
        assert sentence in card


def test_without_a_repository_the_programs_name_a_placeholder() -> None:
    card = render_card(examples.facts(repo_id=None))
    assert 'from_pretrained("USER/sentiment-demo")' in card
    assert "# sentiment-demo" in card


def test_a_repository_of_int8_alone_has_no_program_for_transformers() -> None:
    card = render_card(examples.facts(chosen=("int8",)))
    assert "With Transformers" not in card
    assert 'subfolder="onnx", file_name="model_quantized.onnx"' in card


def test_an_unknown_license_is_said_to_be_unknown() -> None:
    found = examples.results()
    unknown = found.models[0].model_copy(update={"license": None, "languages": ()})
    facts = examples.facts(found.model_copy(update={"models": (unknown,)}))
    assert metadata(facts)["license"] == "unknown"
    assert "language" not in metadata(facts)
    card = render_card(facts)
    assert "The license is unknown" in card
    assert "Languages: unknown" in card


def test_a_report_is_linked_where_there_is_one() -> None:
    assert "report.html" not in render_card(examples.facts())
    assert "[report.html](report.html)" in render_card(examples.facts(beside=frozenset({"report.html"})))


def test_there_is_no_empty_heap_of_lines() -> None:
    assert not re.search(r"\n{4,}", render_card(examples.facts()))
