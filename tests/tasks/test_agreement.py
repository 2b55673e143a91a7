"""How often two models predict the same."""

from __future__ import annotations

import numpy as np
import pytest

from hfcompress.tasks.agreement import agreement
from hfcompress.tasks.columns import Ragged


def test_agreement_of_classes_tags_answers_and_numbers() -> None:
    assert agreement(np.array([1, 0, 1, 1]), np.array([1, 0, 0, 1])) == 0.75
    assert agreement(np.array(["a", ""], dtype=object), np.array(["a", "b"], dtype=object)) == 0.5
    lengths = np.array([1, 2])
    assert agreement(Ragged(np.array([1, 2, 3]), lengths), Ragged(np.array([1, 2, 4]), lengths)) == pytest.approx(2 / 3)
    exact = np.linspace(0, 1, 5)
    assert agreement(exact + np.array([0.009, 0, 0, -0.011, 0]), exact) == 0.8
