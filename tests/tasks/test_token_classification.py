"""Tags: the first piece of a word carries its tag, and answers are one tag a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Sequence, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress import load
from hfcompress.errors import DataError, ModelError
from hfcompress.tasks import get_task
from hfcompress.tasks.columns import Columns, Ragged
from hfcompress.tasks.labels import Labels
from tests import tiny

TASK = get_task("token-classification")
LABELS = Labels(tiny.TAGS, {tag: index for index, tag in enumerate(tiny.TAGS)}, None)
PIECES = {"good": 1, "wordy": 2, "superbly": 3, "x": 1}
SENTENCES = st.lists(
    st.lists(st.tuples(st.sampled_from(list(PIECES)), st.integers(0, 4)), min_size=1, max_size=6),
    min_size=1,
    max_size=4,
)


def pieces_tokenizer(side: str = "right") -> Any:
    """A WordPiece tokenizer that cuts words into the numbers of pieces of `PIECES`."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "x", "word", "##y", "super", "##b", "##ly"]
    model = models.WordPiece({word: index for index, word in enumerate(vocabulary)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, padding_side=side, model_max_length=64, **special)


def rows(sentences: list[list[tuple[str, int]]]) -> Dataset:
    return Dataset.from_dict(
        {
            "tokens": [[word for word, _ in sentence] for sentence in sentences],
            "tags": [[tag for _, tag in sentence] for sentence in sentences],
            "row_id": list(range(len(sentences))),
        }
    )


@pytest.mark.parametrize("side", ["right", "left"])
@settings(deadline=None, max_examples=20)
@given(sentences=SENTENCES)
def test_the_first_piece_of_each_word_carries_its_tag(side: str, sentences: list[list[tuple[str, int]]]) -> None:
    tokenizer = pieces_tokenizer(side)
    prepared = TASK.prepare(rows(sentences), tokenizer, 64)
    batch = TASK.collate(tokenizer)([prepared[row] for row in range(len(prepared))])
    for sentence, labels, mask in zip(sentences, batch["labels"], batch["attention_mask"], strict=True):
        inside = [tag if piece == 0 else -100 for word, tag in sentence for piece in range(PIECES[word])]
        assert labels[mask == 1].tolist() == [-100, *inside, -100]
        assert (labels[mask == 0] == -100).all()


def test_what_is_cut_is_not_scored() -> None:
    prepared = TASK.prepare(rows([[("superbly", 1), ("wordy", 2), ("x", 3)]]), pieces_tokenizer(), 6)
    assert prepared[0]["labels"] == [-100, 1, -100, -100, 2, -100]


@pytest.mark.parametrize(
    "tags, feature, names",
    [
        ([["O", "B-A"], ["I-A"]], None, ("B-A", "I-A", "O")),
        ([[0, 1], [2]], None, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ([[0, 1], [1]], Sequence(ClassLabel(names=["O", "B-A", "I-A"])), ("O", "B-A", "I-A")),
    ],
)
def test_tags_are_names_ids_or_class_labels(tags: list[Any], feature: Any, names: tuple[str, ...]) -> None:
    columns = {"tokens": [["a", "b"], ["c"]], "tags": tags, "row_id": [0, 1]}
    kinds = {"tokens": Sequence(Value("string")), "tags": feature, "row_id": Value("int64")}
    made = Dataset.from_dict(columns, features=None if feature is None else Features(kinds))
    labels = TASK.labels_of(made, "column `tags`", None)
    assert labels.names == names
    encoded = TASK.encode(made, labels, "split `train`")["tags"][:]
    raw = [[names[tag] if isinstance(tag, int) else tag for tag in row] for row in tags]
    assert [[names[tag] for tag in row] for row in encoded] == raw


@pytest.mark.parametrize(
    "tokens, tags, message",
    [
        ([["a", "b"]], [["O"]], "a tag for each word, got 2 and 1 in row 0"),
        ([["a"]], [["B-X"]], "the label 'B-X' in row 0"),
        ([["a"], []], [["O"], []], "no words in row 1"),
        (["a b"], [["O", "O"]], "should hold a list of words a row"),
    ],
)
def test_a_sentence_that_cannot_be_tagged_is_named(tokens: list[Any], tags: list[Any], message: str) -> None:
    made = Dataset.from_dict({"tokens": tokens, "tags": tags, "row_id": list(range(len(tokens)))})
    with pytest.raises(DataError, match=message):
        TASK.encode(made, LABELS, "split `test`")


def test_tags_that_are_no_lists_are_refused() -> None:
    with pytest.raises(DataError, match="a list of tags a row, one for each word, got string"):
        TASK.labels_of(Dataset.from_dict({"tags": ["O"], "row_id": [0]}), "column `tags`", None)


def test_rows_without_tags_count_nowhere() -> None:
    made = rows([[("superbly", 1), ("x", 2)]]).remove_columns("tags")
    prepared = TASK.prepare(TASK.without_labels(made, LABELS), pieces_tokenizer(), 64)
    assert set(prepared[0]["labels"]) == {-100}


def kept_of(labels: list[list[int]], predictions: list[list[int]]) -> Columns:
    lengths = np.array([len(row) for row in labels])
    return {
        "label": Ragged(np.concatenate([np.array(row) for row in labels]), lengths),
        "prediction": Ragged(np.concatenate([np.array(row) for row in predictions]), lengths),
    }


def test_f1_is_of_entities_and_accuracy_of_words() -> None:
    # O B-GOOD I-GOOD | B-BAD O: two entities; one is found, one is cut short, and one is made up.
    kept = kept_of([[0, 1, 2], [3, 0]], [[0, 1, 0], [3, 1]])
    once = np.ones((1, 2))
    assert TASK.statistic("f1", kept, LABELS)(once)[0] == pytest.approx(2 * 1 / (2 + 3))
    assert TASK.statistic("accuracy", kept, LABELS)(once)[0] == pytest.approx(3 / 5)
    assert TASK.statistic("f1", kept, LABELS)(np.array([[0.0, 2.0]]))[0] == pytest.approx(2 * 1 / (1 + 2))
    assert TASK.metrics(LABELS) == ("f1", "accuracy", "f1_macro")
    assert TASK.metrics(Labels(("NOUN", "VERB"), {}, None)) == ("accuracy", "f1_macro")


def test_a_loaded_model_tags_every_word(tmp_path: Path) -> None:
    model = load(tiny.save_bert(tmp_path, head="token-classification", labels=LABELS), threads=1)
    sentences = [["good", "word1", "bad"], ["word2"]]
    logits = model.predict(model.preprocess(sentences))["logits"]
    tags = logits.argmax(-1)
    expected = [[tiny.TAGS[tags[row, 1 + word]] for word in range(len(words))] for row, words in enumerate(sentences)]
    assert model.answer(sentences) == expected
    with pytest.raises(DataError, match="has 100 words and only 62 of them fit"):
        model.answer([["good"] * 100])
    with pytest.raises(DataError, match="each a list of words, got 'good word1'"):
        model.answer(["good word1"])


def test_a_tokenizer_that_knows_no_words_is_refused(encoder: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(tiny.make_tokenizer().get_vocab()))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    (tmp_path / "config.json").write_text((encoder / "config.json").read_text())
    tokenizer = TASK.load_processor(tmp_path)  # Transformers makes a fast one of it
    assert tokenizer.is_fast
    slow = {"tokenizer_class": "CanineTokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(slow))
    with pytest.raises(ModelError, match="not a fast one; give a model with a"):
        TASK.load_processor(tmp_path)


def test_a_byte_level_tokenizer_takes_words_as_they_stand_in_a_text(tmp_path: Path) -> None:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaTokenizerFast

    text = "good word bad word good bad " * 20
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator([text], vocab_size=300, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    bpe.save_model(str(tmp_path))
    RobertaTokenizerFast.from_pretrained(tmp_path, model_max_length=32).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "roberta"}))
    tokenizer = TASK.load_processor(tmp_path)
    batch = TASK.preprocess([["good", "word", "bad"]], tokenizer, 32)
    assert batch["word_starts"].sum() == 3
    assert batch["input_ids"].tolist() == [tokenizer(" good word bad")["input_ids"]]
