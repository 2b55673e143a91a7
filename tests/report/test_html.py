"""The page without a browser: whole by itself, safe against what it is given, and silent about users' own words."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hfcompress.errors import InputError
from hfcompress.report.evidence import Example, Flip, Reported
from hfcompress.report.flips import flips_table
from hfcompress.report.html import html_report, publishable_report
from hfcompress.report.table import headline_table
from hfcompress.results import ClassResult, Measurement
from tests.report.evidence import PIXEL, counted, evidence, examples, flips, reported, two_runs
from tests.report.examples import artifact, changed, demo, failed

SECRET = "The secret words of customer"


class Read(HTMLParser):
    """What a browser's parser makes of a page: elements, attributes, and the text of each kind of element."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.text = ""
        self._into: list[str] | None = None
        self.feed(page.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._into = {"script": self.scripts, "style": self.styles}.get(tag)
        if self._into is not None:
            self._into.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is None:
            self.text += data
        else:
            self._into[-1] += data

    @property
    def charts(self) -> Any:
        return json.loads(self.scripts[0])


def page(**changes: Any) -> Read:
    return Read(html_report([reported(told=evidence(**changes))]))


def test_equal_runs_give_equal_bytes() -> None:
    assert html_report(two_runs()) == html_report(two_runs())


def test_the_page_names_no_other_file_and_no_place_in_the_network() -> None:
    for tag, attributes in page().elements:
        for name in ("src", "href", "action", "srcset", "data"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, name, value)
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
    style = page().styles[0]
    assert "url(" not in style
    assert "@import" not in style


def test_only_our_script_and_style_may_run_and_nothing_may_be_fetched() -> None:
    read = page()
    (policy,) = [
        attributes["content"] or ""
        for tag, attributes in read.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'{_sha256(read.scripts[1])}'"
    assert rules["style-src"] == f"'{_sha256(read.styles[0])}'"


def test_every_figure_of_the_tables_is_in_the_page() -> None:
    text = " ".join(page().text.split())
    for row in headline_table(demo()).rows:
        for cell in row:
            assert str(cell) in text


def test_charts_have_the_figures_of_the_results() -> None:
    points = {point["artifact"]: point for point in page().charts["points"]}
    assert list(points) == ["teacher", "student", "onnx", "int8"]
    assert points["int8"]["score"] == pytest.approx(87.4)
    assert points["int8"]["latency"] == pytest.approx(demo().artifact("int8").latency[1].p50_ms, rel=1e-4)
    assert dict(points["int8"]["facts"])["speed-up"] == "6.91x"


def test_a_loss_with_one_part_is_drawn_once() -> None:
    series = {chart["artifact"]: [each["name"] for each in chart["series"]] for chart in page().charts["losses"]}
    assert series == {"teacher": ["label"], "student": ["total", "kl", "label"]}


def test_losses_that_are_no_numbers_do_not_break_the_page() -> None:
    training = replace(evidence().trainings[0], losses={"loss": ((10, float("nan")), (20, float("inf")), (30, 0.5))})
    (chart,) = page(trainings=(training,)).charts["losses"]
    assert chart["series"][0]["values"] == [[10, None], [20, None], [30, 0.5]]


def test_results_alone_make_a_page_without_empty_sections() -> None:
    read = Read(html_report([Reported(demo())]))
    sections = {attributes["id"] for tag, attributes in read.elements if tag == "section" and attributes.get("id")}
    assert sections == {"tradeoff", "artifacts", "gates", "latency", "details"}


def test_models_without_metrics_times_or_gates_make_a_page() -> None:
    bare = artifact("a", None, 0.8, 1, 3, metrics={}, difference={}, latency=(), throughput_per_s=0, speedup=None)
    read = Read(html_report([Reported(demo(artifacts=(bare,), gates=(), baseline="a"))]))
    assert "No artifact is faster than a" in read.text
    assert read.charts["points"] == []


def test_a_failed_gate_is_said_and_its_artifacts_are_not_recommended() -> None:
    read = Read(html_report([reported(failed())]))
    assert "The gate FAILED" in read.text
    assert "No artifact is faster than teacher and may be published" in read.text
    assert {point["artifact"] for point in read.charts["points"] if not point["publishable"]} == {
        "student",
        "onnx",
        "int8",
    }


@settings(max_examples=25)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_no_name_or_text_becomes_markup(text: str) -> None:
    hostile = f"{text}</script><script>alert(1)</script><img src=x onerror=alert(1)>\u2028{{{{7*7}}}}"
    results = demo(recipe=hostile, artifacts=(artifact(hostile, "distill", 0.8, 3, 3),), baseline=hostile)
    flip = Flip(row=1, verdict="lost", about=hostile, label=hostile, before=hostile, after=hostile)
    told = examples(flips={hostile: (flip,)}, rows={1: Example(texts={"text": hostile})})
    read = Read(html_report([reported(results, evidence(samples=(), recipe=hostile, examples=told))]))
    assert len(read.scripts) == 2
    assert not [tag for tag, _ in read.elements if tag == "img"]
    assert read.charts["points"][0]["artifact"] == hostile
    assert read.charts["flips"][0]["example"]["texts"]["text"] == hostile
    assert "{{7*7}}" in read.text


def test_what_is_published_says_rows_labels_and_counts_and_no_word_of_them() -> None:
    kept = examples(rows={3: Example(texts={"text": SECRET}, words=("confidential",), image=PIXEL)})
    told = evidence(examples=kept)
    published = publishable_report(counted(demo(), told), told, "name: as-published\n")
    for secret in (SECRET, "confidential", PIXEL, "name: sentiment-demo"):
        assert secret.encode() not in published
    read = Read(published)
    assert "name: as-published" in read.text
    assert "What they hold is not in this file" in read.text
    assert {row["row"] for row in read.charts["flips"]} == set(range(40))
    assert {row["label"] for row in read.charts["flips"]} == {"negative", "positive"}
    assert "40 (2.7%)" in " ".join(read.text.split())


def test_texts_and_images_are_published_when_the_user_says_so() -> None:
    told = evidence(examples=examples(rows={3: Example(texts={"text": SECRET}, image=PIXEL)}))
    read = Read(publishable_report(counted(demo(), told), told, "", examples=True))
    (row,) = [row for row in read.charts["flips"] if row["row"] == 3]
    assert row["example"] == {"texts": {"text": SECRET}, "image": PIXEL}


def test_answers_in_users_own_words_are_published_with_their_texts_only() -> None:
    spoken = Flip(row=0, verdict="lost", label="", before="Ada Lovelace", after="in London")
    told = evidence(examples=examples(flips={"int8": (spoken,)}))
    silent, loud = (publishable_report(counted(demo(), told), told, "", examples=each) for each in (False, True))
    assert (b"Lovelace" in loud, b"in London" in loud) == (True, True)
    assert (b"Lovelace" in silent, b"in London" in silent) == (False, False)
    assert Read(silent).charts["flips"][0]["answers"][0]["verdict"] == "lost"


def test_the_table_of_flips_says_what_the_results_say() -> None:
    row = flips_table(reported().results).rows[1]
    lost = [flip.about for flip in flips(30) if flip.verdict == "lost"]
    won = [flip.about for flip in flips(30) if flip.verdict == "won"]
    assert [str(cell) for cell in row] == [
        *("int8", "teacher", "1,475", "30 (2.0%)", f"{len(lost)}", f"{len(won)}"),
        *(f"-{lost.count(name)} +{won.count(name)}" for name in ("negative", "positive")),
    ]


def test_what_was_given_is_not_said_to_have_lost_answers() -> None:
    assert flips_table(changed(reported().results, "int8", stage=None)).column("model") == ["student"]


def test_many_classes_have_columns_for_those_with_the_most_flips() -> None:
    many = tuple(ClassResult(label=f"c{place:02}", rows=99, recall=0.5, lost=place) for place in range(30))
    results = reported(told=evidence(examples=examples(flips={"int8": flips(1)}))).results
    table = flips_table(changed(results, "int8", classes=many))
    titles = [column.title for column in table.columns[6:]]
    assert titles == [f"c{place:02}" for place in range(29, 19, -1)]
    assert table.notes == ("19 classes with fewer flips have no column of their own",)


def test_of_several_classes_a_row_all_answers_about_it_stand_together() -> None:
    told = (
        Flip(row=4, verdict="lost", about="a", label="a", before="a", after="not a"),
        Flip(row=4, verdict="won", about="b", label="not b", before="b", after="not b"),
    )
    (row,) = page(examples=examples(flips={"int8": told})).charts["flips"]
    assert (row["row"], row["label"]) == (4, "a, not b")
    assert [(each["about"], each["verdict"]) for each in row["answers"]] == [("a", "lost"), ("b", "won")]


def test_two_runs_stand_in_one_table_with_their_recipe_and_host() -> None:
    read = Read(html_report(two_runs()))
    rows = [attributes for tag, attributes in read.elements if tag == "tr" and attributes.get("data-recipe")]
    assert {row["data-recipe"] for row in rows} == {"sentiment-demo", "sentiment-small"}
    assert {row["data-host"] for row in rows} == {
        "AMD EPYC 9R14 96-Core Processor, 2 cores",
        "Intel Xeon Platinum 8488C, 8 cores",
    }
    assert read.charts["flips"][-1]["recipe"] == "sentiment-small"


def test_runs_of_one_name_are_told_apart() -> None:
    recipes = {point["recipe"] for point in Read(html_report([Reported(demo()), Reported(demo())])).charts["points"]}
    assert recipes == {"sentiment-demo #1", "sentiment-demo #2"}


def test_figures_of_a_further_host_are_points_of_their_own() -> None:
    speed = Measurement(host="h2", runtime="openvino:CPU", threads=1, reliable=True, throughput_per_s=99.0)
    results = changed(demo(hosts={"h1": demo().hosts["h1"], "h2": {"cpu": "Other"}}), "int8", measurements=(speed,))
    drawn = Read(html_report([Reported(results)])).charts["points"]
    points = [point for point in drawn if point["artifact"].startswith("int8")]
    assert [(point["artifact"], point["host"], point["throughput"], point["elsewhere"]) for point in points] == [
        ("int8", "AMD EPYC 9R14 96-Core Processor, 2 cores", 1196.0, False),
        ("int8 @ Other", "Other", 99.0, True),
    ]


@pytest.mark.parametrize("change", [{"task": "image-classification"}, {"metric": "f1_macro"}])
def test_runs_that_do_not_compare_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"do not compare: their (task|metric) is"):
        html_report([Reported(demo()), Reported(demo(**change))])


def test_a_thousand_flips_of_twelve_artifacts_stay_below_two_megabytes() -> None:
    many = [artifact(f"int8-{place}", "quantize", 0.8, 3, 3) for place in range(12)]
    rows = {row: Example(texts={"text": "x" * 1500}) for row in range(150)}
    told = evidence(samples=(), examples=examples(flips={each.name: flips(150) for each in many}, rows=rows))
    content = html_report([reported(demo(artifacts=(*demo().artifacts, *many)), told)])
    assert len(Read(content).charts["flips"]) == 150
    assert len(content) < 2_000_000


def _sha256(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
