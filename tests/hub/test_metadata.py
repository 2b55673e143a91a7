from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from hfcompress.hub.card import render_card
from hfcompress.hub.metadata import front_matter, metadata, written
from tests.hub import card_examples as examples
from tests.hub.test_card import NASTY

HUB = "https://huggingface.co"


def read_by_everyone(text: str) -> dict[str, Any]:
    """The front matter as a reader of YAML 1.1 and one of YAML 1.2 have it, who must agree."""
    inner = text.removeprefix("---\n").removesuffix("---\n")
    read: dict[str, Any] = yaml.safe_load(inner)
    assert YAML(typ="safe", pure=True).load(inner) == read
    return read


def facts_of(text: str) -> Any:
    return examples.facts(examples.results(path=text))


@pytest.mark.parametrize("text", [name for name in NASTY if name != "\ud800"])
def test_no_name_breaks_the_front_matter(text: str) -> None:
    facts = facts_of(text)
    assert read_by_everyone(front_matter(facts)) == metadata(facts)


TEXT = st.text(
    alphabet=st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("-:#\n'\"{}[]&*!|>%@`0e1")),
    max_size=20,
)


@settings(deadline=None)
@given(TEXT)
def test_no_text_breaks_the_front_matter(text: str) -> None:
    data = {"one": text, "list": [text, {"deep": text}]}
    assert read_by_everyone(f"---\n{written(data)}---\n") == data


AMBIGUOUS = ["no", "on", "1e3", "0o17", "1:30", "2024-01-01", "null", "~", "0x1F", ".5", "True", "1_000", "<<", "="]


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_text_stays_text(text: str) -> None:
    assert read_by_everyone(front_matter(facts_of(text)))["datasets"] == [text]


def test_languages_and_license_are_those_of_the_base() -> None:
    said = metadata(examples.facts())
    assert (said["license"], said["language"]) == ("apache-2.0", ["en", "no"])  # Norwegian is no boolean
    assert read_by_everyone(front_matter(examples.facts()))["language"] == ["en", "no"]


OTHER = {"license": "other"}


@pytest.mark.parametrize(
    "found, said",
    [
        ({"license": "MIT", "license_link": "LICENSE"}, {"license": "mit"}),
        ({"license": "proprietary"}, {**OTHER, "license_name": "proprietary"}),
        ({"license": "My License: v2!"}, {**OTHER, "license_name": "my-license-v2"}),
        (
            {"license": "other", "license_name": "acme", "license_link": "./LICENSE.md"},
            {**OTHER, "license_name": "acme", "license_link": f"{HUB}/someone/base/blob/{'a' * 40}/LICENSE.md"},
        ),
        (
            {"license": "other", "license_link": "https://acme.org/l"},
            {**OTHER, "license_link": "https://acme.org/l"},
        ),
        ({"license": "other", "license_link": "../../secret"}, OTHER),
        ({"license": "other", "license_link": "javascript:alert(1)"}, OTHER),
        ({"license": "other", "license_link": "LICENSE", "local": True}, OTHER),
        ({"license": None, "license_link": "LICENSE"}, {"license": "unknown"}),
    ],
)
def test_the_license_is_one_that_the_hub_takes(found: dict[str, Any], said: dict[str, str]) -> None:
    results = examples.results()
    base = results.models[0].model_copy(update=found)
    read = metadata(examples.facts(results.model_copy(update={"models": (base,)})))
    assert {key: read[key] for key in ("license", "license_name", "license_link") if key in read} == said


@pytest.mark.parametrize(
    "chosen, relation", [(("student", "int8"), "finetune"), (("student",), "finetune"), (("int8",), "quantized")]
)
def test_the_relation_to_the_base_is_that_of_the_published_weights(chosen: tuple[str, ...], relation: str) -> None:
    said = metadata(examples.facts(chosen=chosen))
    assert (said["base_model"], said["base_model_relation"]) == ("someone/base", relation)


def test_the_base_of_a_student_that_starts_from_another_checkpoint_is_that_checkpoint() -> None:
    stages = {
        "teacher": {"finetune": {}},
        "student": {"distill": {"student": {"model": {"id": "someone/other", "revision": "main"}}}},
    }
    found = examples.results()
    other = found.models[0].model_copy(update={"name": "someone/other@main", "id": "someone/other", "license": "mit"})
    facts = examples.facts(
        found.model_copy(update={"models": (*found.models, other)}),
        chosen=("student",),
        recipe=examples.recipe(stages=stages),
    )
    said = metadata(facts)
    assert (said["base_model"], said["license"]) == ("someone/other", "mit")


def test_a_student_with_random_weights_has_no_base() -> None:
    stages = {"teacher": {"finetune": {}}, "student": {"distill": {"student": {"config": {"hidden_size": 8}}}}}
    said = metadata(examples.facts(chosen=("student",), recipe=examples.recipe(stages=stages)))
    assert "base_model" not in said
    assert said["license"] == "unknown"


def test_the_base_of_a_local_folder_is_the_one_that_its_card_names() -> None:
    found = examples.results()
    local = found.models[0].model_copy(
        update={"id": "minilm", "local": True, "base_models": ("someone/origin", "not an id")}
    )
    said = metadata(examples.facts(found.model_copy(update={"models": (local,)})))
    assert said["base_model"] == "someone/origin"


def test_local_data_is_no_dataset_of_the_hub() -> None:
    found = examples.results()
    assert found.data is not None
    local = found.model_copy(update={"data": found.data.model_copy(update={"local": True})})
    assert "datasets" not in metadata(examples.facts(local))
    assert metadata(examples.facts())["datasets"] == ["someone/reviews"]


def test_the_model_index_is_read_back_by_the_hubs_own_reader(tmp_path: Path) -> None:
    facts = examples.facts()
    (tmp_path / "README.md").write_text(render_card(facts), encoding="utf-8")
    read = ModelCard.load(tmp_path / "README.md").data
    assert read.model_name == "small"
    assert {result.metric_name: result.metric_value for result in read.eval_results} == {
        f"accuracy ({artifact.name})": artifact.metrics["accuracy"].value for artifact in facts.published
    }
    assert {(result.dataset_type, result.dataset_split) for result in read.eval_results} == {
        ("someone/reviews", "test")
    }
