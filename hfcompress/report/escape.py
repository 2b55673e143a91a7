"""Text from outside (names of models, labels, datasets) as Markdown that says just that text."""

from __future__ import annotations

import re

#: What can begin markup anywhere: code, emphasis, HTML, tables, math, headings in lists, mail addresses.
_ANYWHERE = re.compile(r"[\\`*<|~$#@]")
#: An underscore inside a word is text; at its edge it may be emphasis.
_EDGE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
#: `[a](b)`, `[a][b]`, `[a]: b`, `![a](b)`, `[^1]`; brackets alone are text, and intervals are full of them.
_LINK = re.compile(r"\](?=[(\[:])|!(?=\[)|\[(?=\^)")
#: Addresses that GitHub's Markdown links without being asked.
_ADDRESS = re.compile(r":(?=//)|(?<=www)\.", re.IGNORECASE)
_ENTITY = re.compile(r"&(?=#?\w+;)")
#: What begins a list, a quotation, a rule or an underlined heading at the start of a line.
_START = re.compile(r"\A(?:>|[-+](?= |\Z)|[-=](?=[-= ]*\Z)|-(?=[- ]*\Z)|\d+(?=[.)](?: |\Z)))")
#: Controls, what turns the direction of text around, and halves of characters, which no file can hold.
_UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1b\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def escaped(text: str) -> str:
    """Markdown (GitHub's) that is shown as `text` inside a line, its white space made single blanks."""
    text = " ".join(_UNSEEN.sub("", text).split())
    text = _ANYWHERE.sub(r"\\\g<0>", text)
    for pattern in (_EDGE, _LINK, _ADDRESS, _ENTITY):
        text = pattern.sub(r"\\\g<0>", text)
    return text


def escaped_line(text: str) -> str:
    """The same where a line may begin with it."""
    return _START.sub(_escaped_start, escaped(text))


def _escaped_start(match: re.Match[str]) -> str:
    found = match[0]
    return f"{found}\\" if found.isdigit() else f"\\{found}"
