"""A teacher that looks its outputs up: a step of training never runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

from hfcompress.errors import InputError
from hfcompress.training.answers import Answer, Wants
from hfcompress.training.cache.store import TeacherCache
from hfcompress.training.heads import Head, head_of
from hfcompress.training.teachers import Teacher

_NOTHING = Wants()


class CachedTeacher(Teacher):
    """Answers with what a teacher said when its cache was filled, by `row_id`.

    Sound where a row's inputs are the same in every epoch, as they are without augmentation or random masking. Of a
    cache with `topk` the answer is `topk_log_probs` (N, T, k) and `topk_ids` (N, T, k), most likely first, and
    `rest_log_prob` (N, T), all at the cache's temperature.

    Args:
        cache: filled.
        name: how messages call the teacher.
        config: the teacher's, for its labels and vocabulary.
        head: the teacher's, see `head_of`.
    """

    def __init__(self, cache: TeacherCache, name: str, config: PretrainedConfig, head: Head) -> None:
        # Not `Teacher.__init__`: there is no model, and so nothing to freeze, to move or to record.
        self.cache = cache
        self.config = config
        self.autocast: torch.dtype | None = None
        self._name, self._head = name, head

    @property
    def name(self) -> str:
        """How messages call it."""
        return self._name

    @property
    def temperature(self) -> float | None:
        """The temperature that top-k log-probabilities were taken at; None: logits are kept."""
        topk = self.cache.identity.keep.topk
        return None if topk is None else topk.temperature

    def to(self, device: torch.device | str) -> CachedTeacher:
        """Nothing moves: an answer goes to where its batch is."""
        return self

    def answer(self, batch: Mapping[str, Any], wants: Wants = _NOTHING) -> Answer:
        """The outputs of the rows of a batch, on its device; token-level ones are 0 where nothing was kept.

        Raises:
            InputError: more than outputs is wanted, a row is not in the cache, or its shard is damaged.
        """
        check_cacheable(wants)
        row_id = batch["row_id"]
        kept = self.cache.lookup(row_id.cpu().numpy())
        mask = None if kept.offsets is None else self.cache.identity.keep.mask(batch).cpu()
        outputs = kept.put_back(mask)
        return Answer({name: value.to(row_id.device, non_blocking=True) for name, value in outputs.items()})

    def check_matches(self, student: PreTrainedModel) -> None:
        """Refuse a student whose outputs do not mean what the teacher's mean.

        A student with another tokenizer is welcome where outputs are those of rows; those of tokens need the same.

        Raises:
            InputError: they differ in heads, in labels or, for tokens, in vocabulary.
        """
        head = head_of(student)
        if type(head) is not type(self._head):
            raise InputError(f"teacher {self.name} is {self._head} and the student is {head}; choose two of one task")
        theirs, ours = self.config.id2label, student.config.id2label
        if theirs != ours:
            raise InputError(
                f"teacher {self.name} labels its outputs {_shown(theirs)} and the student {_shown(ours)}; load the "
                "student with `id2label` and `label2id` of the teacher's config, or choose a teacher of the same task"
            )
        sizes = [getattr(config, "vocab_size", None) for config in (self.config, student.config)]
        if self.cache.of_tokens and sizes[0] != sizes[1]:
            raise InputError(
                f"teacher {self.name} has a vocabulary of {sizes[0]} and the student of {sizes[1]}, so their tokens "
                "are not the same; choose a teacher and a student with one tokenizer"
            )


def check_cacheable(wants: Wants) -> None:
    """Refuse what no cache holds; call it before a cache is filled.

    Raises:
        InputError: hidden states or projections are wanted.
    """
    if wants != _NOTHING:
        raise InputError(
            "a teacher cache holds outputs only, and `hidden`, `relations` and `attention` need what lies on the way "
            "to them; set `teacher_cache: off`, or leave these parts out"
        )


def _shown(id2label: Mapping[int, str]) -> str:
    shown = ", ".join(f"{index}: {label}" for index, label in list(id2label.items())[:8])
    return f"{len(id2label)} ({shown}{', ...' if len(id2label) > 8 else ''})"
