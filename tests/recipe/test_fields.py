from __future__ import annotations

from hfcompress.recipe.fields import is_training, keys_at, places_below
from hfcompress.recipe.recipe import Recipe
from hfcompress.recipe.stages import VERBS
from hfcompress.recipe.training import training_fields


def test_keys_are_those_of_the_model_at_that_place() -> None:
    assert keys_at(()) == tuple(Recipe.model_fields)
    assert keys_at(("stages", "any")) == ("from", *VERBS)
    assert set(keys_at(("stages", "any", "distill", "training"))) == set(training_fields())
    assert keys_at(("stages", "any", "distill", "teacher", 0)) == ("id", "revision")
    assert keys_at(("data", "splits")) == ("train", "validation", "test")
    assert "max_drop" in keys_at(("gates", 3))


def test_a_place_of_free_names_or_of_no_keys_has_none() -> None:
    assert keys_at(("stages",)) == keys_at(("data", "columns")) == keys_at(("seed",)) == keys_at(("no", "such")) == ()


def test_a_key_one_level_too_high_is_found_below() -> None:
    assert places_below(("stages", "x"), "temperature") == ("distill", "qat")
    assert places_below((), "path") == ("data",)


def test_only_training_blocks_are_training() -> None:
    assert is_training(("stages", "x", "finetune", "training"))
    assert not is_training(("stages", "x", "finetune"))
