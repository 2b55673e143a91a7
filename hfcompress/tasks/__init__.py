"""One file a task: model class, preprocessing, collator, how outputs become predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from hfcompress.recipe.tasks import TaskName
    from hfcompress.tasks.base import Task


def get_task(name: TaskName) -> Task:
    """The code of a task by its name in a recipe."""
    match name:
        case "text-classification":
            from hfcompress.tasks.text_classification import TextClassification

            return TextClassification()
        case "token-classification":
            from hfcompress.tasks.token_classification import TokenClassification

            return TokenClassification()
        case "masked-lm":
            from hfcompress.tasks.masked_lm import MaskedLM

            return MaskedLM()
        case "feature-extraction":
            from hfcompress.tasks.feature_extraction import FeatureExtraction

            return FeatureExtraction()
        case "question-answering":
            from hfcompress.tasks.question_answering import QuestionAnswering

            return QuestionAnswering()
        case "image-classification":
            from hfcompress.tasks.image_classification import ImageClassification

            return ImageClassification()
        case _:
            assert_never(name)
