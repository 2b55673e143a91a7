from __future__ import annotations

import pytest

from hfcompress.hub.local_paths import published_name, without_folders, without_local_paths


@pytest.mark.parametrize(
    "place, name",
    [
        ("/home/someone/models/small", "small"),
        ("~/models/small", "small"),
        ("~someone/small", "small"),
        ("C:\\Users\\someone\\small", "small"),
        ("/home/someone/small@main", "small@main"),
        ("/", "folder"),
        ("models/small", "models/small"),
        (".demo/minilm", ".demo/minilm"),
        ("google-bert/bert-base-uncased", "google-bert/bert-base-uncased"),
    ],
)
def test_only_places_of_one_machine_lose_their_folders(place: str, name: str) -> None:
    assert published_name(place) == name


def test_every_place_of_a_recipe_is_found_and_nothing_else_is_touched() -> None:
    recipe = {
        "model": {"id": "/home/someone/base"},
        "data": {"path": "/home/someone/data", "columns": {"text": "/text"}, "unlabeled": {"path": "~/more"}},
        "stages": {
            "student": {
                "distill": {
                    "teacher": [{"id": "/home/someone/teacher"}],
                    "student": {"model": {"id": "/home/someone/small"}},
                    "training": {"logging_dir": "/home/someone/logs", "report_to": ["none"]},
                }
            },
            "int8": {"quantize": {"skip": ["/bert/encoder/*"]}},  # nodes of a graph
        },
    }
    assert without_local_paths(recipe) == {
        "model": {"id": "base"},
        "data": {"path": "data", "columns": {"text": "/text"}, "unlabeled": {"path": "more"}},
        "stages": {
            "student": {
                "distill": {
                    "teacher": [{"id": "teacher"}],
                    "student": {"model": {"id": "small"}},
                    "training": {"logging_dir": "logs", "report_to": ["none"]},
                }
            },
            "int8": {"quantize": {"skip": ["/bert/encoder/*"]}},
        },
    }


@pytest.mark.parametrize(
    "text, told",
    [
        ("/home/me/runs/int8/model.onnx cannot be run", "model.onnx cannot be run"),
        ("'/usr/lib/libcuda.so': no such file (/tmp/job-1/x.log)", "'libcuda.so': no such file (x.log)"),
        ("file:///home/me/a.py:12, in ~/code/b.py", "a.py:12, in b.py"),
        (r'File "C:\Users\me\c.py", line 3', 'File "c.py", line 3'),
        ("what=/data/x/", "what=x/"),
        ("see https://example.org/a/b and/or model/config.json, 1 / 2", None),
    ],
)
def test_words_name_no_folder(text: str, told: str | None) -> None:
    assert without_folders(text) == (told or text)
