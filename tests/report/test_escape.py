from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from hfcompress.report.escape import escaped, escaped_line

#: An independent reader of GitHub's Markdown.
READER = MarkdownIt("gfm-like", {"linkify": False})
SPECIAL = "[]()!*_`~<>|\\#-+=:&;@$.0 \n\t{}%^/"


def read(markdown: str) -> tuple[list[str], str]:
    """The blocks and spans, and the text that is shown."""
    tokens = READER.parse(markdown)
    spans = [child for token in tokens for child in token.children or ()]
    kinds = [token.type for token in tokens] + [span.type for span in spans if span.type != "text"]
    return kinds, "".join(span.content for span in spans)


@settings(deadline=None)
@given(st.text(alphabet=st.one_of(st.characters(exclude_categories=["C", "Z"]), st.sampled_from(SPECIAL)), max_size=24))
def test_any_text_is_shown_as_it_is_wherever_it_stands(text: str) -> None:
    shown = " ".join(text.split())
    if not shown:
        return
    assert read(escaped_line(text)) == (read("x")[0], shown)
    assert read(f"- {escaped_line(text)}") == (read("- x")[0], shown)
    assert read(f"a **b** {escaped(text)} c") == (read("a **b** x c")[0], f"a b {shown} c")
    table = "| a |\n| --- |\n| {} |"
    assert read(table.format(escaped(text))) == (read(table.format("x"))[0], f"a{shown}")


@pytest.mark.parametrize(
    "text", ["86.7 [84.9, 88.3]", "f1_macro", "-0.8", "a (b)", "50%", "x=1", "3.11.7", "w/o #".rstrip(" #")]
)
def test_ordinary_text_stays_readable(text: str) -> None:
    assert escaped_line(text) == text


@pytest.mark.parametrize("text", ["https://evil.example", "www.evil.example", "a@evil.example"])
def test_an_address_is_no_link(text: str) -> None:
    # GitHub links these by itself; markdown-it needs a further package for that, so the backslash is looked for.
    assert escaped(text) in ("https\\://evil.example", "www\\.evil.example", "a\\@evil.example")


def test_controls_and_halves_of_characters_are_left_out() -> None:
    assert escaped("a\u202eb\x00c\ud800d") == "abcd"
