"""The front matter of a card: what the Hub indexes. Keys as in the Hub's model card specification."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from hfcompress.hub.card_facts import CardFacts, hub_ids
from hfcompress.hub.licenses import LICENSES, license_link
from hfcompress.recipe.tasks import TaskName
from hfcompress.results import ArtifactResult

#: Where the Hub's name of a task is another one.
_PIPELINES: dict[TaskName, str] = {"masked-lm": "fill-mask"}
#: Our metrics by the names of the Hub's.
_METRICS = {
    "f1_macro": "f1",
    "f1_micro": "f1",
    "subset_accuracy": "accuracy",
    "pearson": "pearsonr",
    "spearman": "spearmanr",
}
_TAGS = {"distill": "distillation", "qat": "quantization-aware-training", "quantize": "quantized"}
#: What an id such as `license_name` does not hold.
_NO_ID = re.compile(r"[^a-z0-9.]+")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*|code|multilingual")
#: Text that every reader of YAML, 1.1 or 1.2, takes for text without quotes.
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*([ ./-][A-Za-z0-9_]+)*")
_UNSEEN = re.compile("[\ud800-\udfff]")


def front_matter(facts: CardFacts) -> str:
    """The YAML between the two lines of `---`, both included. Nothing in it is guessed: what is unknown is left out,
    but for the license, which then says so."""
    return f"---\n{written(metadata(facts))}---\n"


def pipeline_tag(task: str) -> str:
    """The Hub's name of a task, which is that of Transformers' pipeline too."""
    return _PIPELINES.get(task, task)  # type: ignore[call-overload,no-any-return]  # results hold any text


def metadata(facts: CardFacts) -> dict[str, Any]:
    """The front matter as plain data."""
    results, data = facts.results, facts.results.data
    said: dict[str, Any] = {
        **_license(facts),
        "language": _one_or_all(_languages(facts)),
        "library_name": "transformers" if facts.root else facts.main.manifest.format,
        "pipeline_tag": pipeline_tag(results.task),
        "base_model": _one_or_all(hub_ids(facts.bases)),
        "base_model_relation": _relation(facts) if hub_ids(facts.bases) else None,
        "datasets": [data.path] if data is not None and not data.local else None,
        "metrics": list(dict.fromkeys(_METRICS.get(metric, metric) for metric in _metrics(facts))),
        "tags": list(_tags(facts)),
        "model-index": _model_index(facts),
    }
    return {key: value for key, value in said.items() if value}


def _license(facts: CardFacts) -> dict[str, Any]:
    """That of the weights, where there is one and all have the same. The Hub refuses a card with an identifier that it
    does not know, so such a one becomes the name of another license."""
    found = {(model.license, model.license_name, license_link(model)) for model in facts.bases}
    identity, name, link = found.pop() if len(found) == 1 else (None, None, None)
    if identity is None:
        return {"license": "unknown"}
    if identity.lower() in LICENSES - {"other"}:
        return {"license": identity.lower()}
    named = name or (identity if identity.lower() != "other" else "")
    return {"license": "other", "license_name": _NO_ID.sub("-", named.lower()).strip("-."), "license_link": link}


def _languages(facts: CardFacts) -> tuple[str, ...]:
    found = dict.fromkeys(code for model in facts.bases for code in model.languages)
    return tuple(code for code in found if _LANGUAGE.fullmatch(code))


def _one_or_all(values: tuple[str, ...]) -> Any:
    return values[0] if len(values) == 1 else list(values)


def _relation(facts: CardFacts) -> str | None:
    quantized = any(artifact.quantized for artifact in facts.placed)
    if facts.trained and (facts.root is not None or not quantized):
        return "finetune"
    return "quantized" if quantized else None


def _metrics(facts: CardFacts) -> list[str]:
    return list(dict.fromkeys(metric for artifact in facts.published for metric in artifact.metrics))


def _tags(facts: CardFacts) -> Iterator[str]:
    yield "hfcompress"
    formats = {artifact.manifest.format for artifact in facts.placed}
    yield from sorted(formats - {"torch"})
    if any(artifact.quantized for artifact in facts.placed):
        yield "int8"
    yield from dict.fromkeys(
        _TAGS[verb] for verb in (facts.recipe.stages[name].verb for name in facts.history) if verb in _TAGS
    )


def _model_index(facts: CardFacts) -> list[dict[str, Any]]:
    """Every metric of every published artifact, fractions as they were measured, each with its interval."""
    task = {"type": pipeline_tag(facts.results.task), "name": pipeline_tag(facts.results.task)}
    results = [
        {"task": task, "dataset": _dataset(facts, split), "metrics": metrics}
        for split in dict.fromkeys(found.split for artifact in facts.published for found in artifact.metrics.values())
        if (metrics := [entry for artifact in facts.published for entry in _entries(artifact, split)])
    ]
    return [{"name": facts.name, "results": results}] if results else []


def _dataset(facts: CardFacts, role: str) -> dict[str, Any]:
    data = facts.results.data
    if data is None:
        return {"type": facts.results.recipe, "name": facts.results.recipe, "split": role}
    split = data.splits.get(role)
    said = {
        "type": data.path,
        "name": data.path if data.subset is None else f"{data.path} ({data.subset})",
        "config": data.subset,
        "split": role if split is None else split.name,
        "revision": data.revision,
        "args": None if split is None else {"rows": split.rows, "sha256": split.digest},
    }
    return {key: value for key, value in said.items() if value is not None}


def _entries(artifact: ArtifactResult, split: str) -> Iterator[dict[str, Any]]:
    for metric, found in artifact.metrics.items():
        if found.split == split:
            yield {
                "type": _METRICS.get(metric, metric),
                "value": found.value,
                "name": f"{metric} ({artifact.name})",
                "args": {"artifact": artifact.name, "low": found.low, "high": found.high},
            }


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # PyYAML has no types
    """Text that some reader might take for something else is quoted, without raw line breaks; nothing is shared."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    text = _UNSEEN.sub("�", text)
    resolved = dumper.resolve(yaml.ScalarNode, text, (True, False))
    plain = _PLAIN.fullmatch(text) and resolved == "tag:yaml.org,2002:str"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def written(data: dict[str, Any]) -> str:
    """YAML that readers of 1.1 (Python's) and of 1.2 (the Hub's) take for the same data."""
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=float("inf")
    )
    return text
