"""Exact match and F1 of answers, as the official script of SQuAD 2.0 defines them (Rajpurkar et al. 2016 and 2018).

For questions that have an answer these are those of SQuAD 1.1 too.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(answer: str) -> str:
    """Lower case, without punctuation, articles and runs of white space."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, gold: Sequence[str]) -> float:
    """1 when the answer is one of the gold answers, 0 otherwise; no gold answers mean that there is none."""
    return _best(answer, gold, lambda a, b: float(a == b))


def f1(answer: str, gold: Sequence[str]) -> float:
    """The F1 of the answer's words and those of the gold answer that it shares most with."""
    return _best(answer, gold, _word_f1)


def _best(answer: str, gold: Sequence[str], score: Callable[[str, str], float]) -> float:
    # The script leaves gold answers out that are nothing but articles and punctuation.
    known = [text for text in map(normalized, gold) if text] or [""]
    return max(score(normalized(answer), text) for text in known)


def _word_f1(answer: str, gold: str) -> float:
    ours, theirs = answer.split(), gold.split()
    if not ours or not theirs:
        return float(ours == theirs)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * shared / (len(ours) + len(theirs))
