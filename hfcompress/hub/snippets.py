"""The programs of a card that load what is published: what their templates have to know."""

from __future__ import annotations

from dataclasses import dataclass

from hfcompress.hub.card_facts import CardFacts
from hfcompress.hub.metadata import pipeline_tag
from hfcompress.hub.places import Placed
from hfcompress.recipe.verb import Format

#: Task -> the end of the names of Transformers' and Optimum's classes.
_HEADS = {
    "text-classification": "SequenceClassification",
    "token-classification": "TokenClassification",
    "masked-lm": "MaskedLM",
    "question-answering": "QuestionAnswering",
    "image-classification": "ImageClassification",
    "feature-extraction": "",
}
_FAKE_QUANT = "fake_quant.json"
#: Where a card is rendered before anyone has said where it goes.
_SOMEWHERE = "USER/{name}"


@dataclass(frozen=True)
class Snippets:
    """What the templates of snippets read.

    Attributes:
        repo: the repository.
        task: the recipe's name of the task.
        head: the end of class names; empty for a bare encoder.
        pipeline: the name of the pipeline.
        problem: what a classification answers: one class, several classes, or a number.
        pairs: whether the model reads two texts.
        max_length: tokens after which text is cut.
        torch: the artifact that Transformers loads; None: no snippet.
        onnx: the artifact that Optimum loads; None: no snippet.
        openvino: the artifact that OpenVINO loads; None: no snippet.
        main: the artifact that hfcompress loads first.
        others: what else it could load.
    """

    repo: str
    task: str
    head: str
    pipeline: str
    problem: str | None
    pairs: bool
    max_length: int
    torch: Placed | None
    onnx: Placed | None
    openvino: Placed | None
    main: str
    others: tuple[str, ...]

    @property
    def onnx_folder(self) -> str:
        """The folder of Optimum's graph."""
        return "" if self.onnx is None else self.onnx.model.rpartition("/")[0]

    @property
    def onnx_file(self) -> str:
        """The name of Optimum's graph."""
        return "" if self.onnx is None else self.onnx.model.rpartition("/")[2]

    @property
    def openvino_weights(self) -> str:
        """The path of the constants of OpenVINO's graph."""
        return "" if self.openvino is None else f"{self.openvino.model.rpartition('.')[0]}.bin"


def snippets(facts: CardFacts) -> Snippets:
    """What the card of a run can show."""
    task, main = facts.results.task, facts.main
    root = facts.root
    return Snippets(
        repo=facts.repo_id or _SOMEWHERE.format(name=facts.results.recipe),
        task=task,
        head=_HEADS[task],
        pipeline=pipeline_tag(task),
        problem=facts.problem,
        pairs=task == "text-classification" and "text_pair" in facts.recipe.data.columns,
        max_length=facts.recipe.data.max_length,
        # The weights of a model that qat trained are to be rounded, which Transformers alone does not do.
        torch=None if root is None or root.folder or _FAKE_QUANT in root.files else root,
        onnx=_best(facts, "onnx"),
        openvino=_best(facts, "openvino"),
        main=main.name,
        others=tuple(artifact.name for artifact in facts.placed if artifact is not main),
    )


def _best(facts: CardFacts, format: Format) -> Placed | None:
    """Of a format the first artifact that its own runtime runs, INT8 before floating point."""

    def rank(artifact: Placed) -> tuple[bool, bool]:
        runtime = str(artifact.manifest.details.get("runtime"))
        return format == "onnx" and runtime.startswith("openvino"), not artifact.quantized

    return min((artifact for artifact in facts.placed if artifact.manifest.format == format), key=rank, default=None)
