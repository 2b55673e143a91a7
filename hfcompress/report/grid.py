"""A table before anyone has drawn it: cells of words, that the terminal and Markdown render each in their own way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hfcompress.report.figures import NOTHING

Tone = Literal["plain", "strong", "good", "bad"]


@dataclass(frozen=True)
class Column:
    """A heading.

    Attributes:
        title: the heading.
        detail: the rest of it, beside or below.
        numeric: numbers are set to the right.
        tied: never parted from the column before it.
    """

    title: str
    detail: str = ""
    numeric: bool = True
    tied: bool = False

    def __str__(self) -> str:
        return f"{self.title} {self.detail}".rstrip()


@dataclass(frozen=True)
class Cell:
    """A figure, and what stands beside or below it where there is room: an interval, a ratio."""

    text: str = NOTHING
    detail: str = ""
    tone: Tone = "plain"

    def __str__(self) -> str:
        return f"{self.text} {self.detail}".rstrip()


@dataclass(frozen=True)
class Table:
    """Rows of equal length. The first column names the row.

    Attributes:
        title: one line above.
        caption: what the columns are, below.
        notes: footnotes: what is in doubt, and why.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    notes: tuple[str, ...] = ()

    def column(self, title: str) -> list[str]:
        """The cells under a heading, heading and cells with their details."""
        place = [str(column) for column in self.columns].index(title)
        return [str(row[place]) for row in self.rows]


def words(*texts: str) -> tuple[Column, ...]:
    """Columns of words."""
    return tuple(Column(text, numeric=False) for text in texts)


def numbers(*texts: str) -> tuple[Column, ...]:
    """Columns of numbers."""
    return tuple(Column(text) for text in texts)


def unique(lines: Sequence[str]) -> tuple[str, ...]:
    """Lines in their order, each once."""
    return tuple(dict.fromkeys(lines))
