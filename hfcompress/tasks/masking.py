"""Which tokens of a text are masked: a function of the seed and the row alone.

Static masking (Devlin et al. 2019, BERT, section 3.1): 15% of the tokens are to be predicted; of these 80% are replaced
by the mask token, 10% by a random one, and 10% stay. Since a row always has the same mask, a run that was stopped goes
on exactly, and a teacher's answers can be kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: What a loss does not count.
NOT_COUNTED = -100
_PREDICTED, _MASKED, _RANDOM = 0.15, 0.8, 0.1


class Masking:
    """The masks of one run.

    Args:
        mask_id: the mask token.
        special_ids: tokens that are neither masked nor put in place of others, the mask token among them.
        vocabulary: number of tokens.
        seed: of the run.
    """

    def __init__(self, mask_id: int, special_ids: Sequence[int], vocabulary: int, seed: int) -> None:
        self._mask_id, self._seed = mask_id, seed
        self._special = np.asarray(sorted(set(special_ids)), dtype=np.int64)
        self._ordinary = np.setdiff1d(np.arange(vocabulary), self._special)

    def of(self, ids: Sequence[int], row_id: int) -> tuple[list[int], list[int]] | None:
        """The ids that the model sees, and what it is to predict: -100 where nothing; None for a row of specials only.

        15% of the ordinary tokens are predicted, rounded, and one at least.
        """
        tokens = np.asarray(ids, dtype=np.int64)
        places = np.flatnonzero(~np.isin(tokens, self._special))
        if len(places) == 0:
            return None
        rng = np.random.default_rng((self._seed, row_id))
        chosen = rng.choice(places, size=max(1, round(_PREDICTED * len(places))), replace=False)
        labels = np.full_like(tokens, NOT_COUNTED)
        labels[chosen] = tokens[chosen]
        fate = rng.random(len(chosen))
        replaced = rng.choice(self._ordinary, size=len(chosen))
        seen = tokens.copy()
        seen[chosen] = np.select(
            [fate < _MASKED, fate < _MASKED + _RANDOM], [np.full(len(chosen), self._mask_id), replaced], tokens[chosen]
        )
        return seen.tolist(), labels.tolist()
