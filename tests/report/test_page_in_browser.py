"""The page in a real browser: it sorts, filters, answers pointer and keys, can be read, and asks for nothing."""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from hfcompress.report.evidence import Evidence, Flip
from hfcompress.report.figures import number
from hfcompress.report.html import html_report, publishable_report
from hfcompress.report.pareto import pareto_front
from hfcompress.report.table import headline_table
from hfcompress.results import Results
from tests.report.evidence import PIXEL, counted, evidence, example, examples, flips, reported, two_runs
from tests.report.examples import artifact, demo, failed
from tests.report.test_entries import measured, there

pytestmark = pytest.mark.browser

Show = Callable[..., "Opened"]

#: As few processes, writes and requests of the browser's own as can be.
FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@dataclass
class Opened:
    """A page, what its console said, and every request it made."""

    page: Any
    said: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def texts(self, selector: str) -> list[str]:
        """The words of every element."""
        found: list[str] = self.page.locator(selector).all_inner_texts()
        return [" ".join(text.split()) for text in found]

    def column(self, table: str, title: str) -> list[str]:
        """The figures under a heading, without their intervals, as they stand now."""
        headings = [text.split()[0] for text in self.texts(f"{table} thead th")]
        return self.texts(f"{table} tbody tr > :nth-child({headings.index(title) + 1}) .figure")

    @property
    def tip(self) -> str:
        """What the tooltip says; nothing where it is hidden."""
        return " ".join(self.texts("#tip:visible"))


@pytest.fixture(scope="module")
def tab() -> Iterator[Opened]:
    """One tab of one browser: a process for each test would cost more than the tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        one = Opened(browser.new_page())
        one.page.on("console", lambda message: one.said.append(message.text))
        one.page.on("pageerror", lambda error: one.said.append(str(error)))
        one.page.on("request", lambda request: one.requests.append(request.url))
        yield one
        browser.close()


@pytest.fixture
def show(tab: Opened, tmp_path: Path) -> Iterator[Show]:
    """Opens a page from disk; at the end its console must have been silent and its network unused."""
    tab.said.clear()
    tab.requests.clear()

    def show(content: bytes, *, width: int = 1200, scheme: Literal["light", "dark"] = "light") -> Opened:
        path = tmp_path / "report.html"
        path.write_bytes(content)
        tab.page.mouse.move(0, 0)
        tab.page.set_viewport_size({"width": width, "height": 900})
        tab.page.emulate_media(color_scheme=scheme)
        tab.page.goto(path.as_uri())
        tab.page.locator(".chart:empty").first.wait_for(state="detached")
        return tab

    yield show
    assert tab.said == []
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []


def page_of(results: Results | None = None, told: Evidence | None = None) -> bytes:
    return html_report([reported(results, told)])


def test_a_press_on_a_heading_sorts_and_another_one_turns_it_round(show: Show) -> None:
    opened = show(page_of())
    table = "#artifacts table"
    rows = headline_table(demo()).column("rows/s")
    heading = opened.page.locator(f"{table} thead button", has_text="rows/s")
    heading.click()
    assert opened.column(table, "rows/s") == sorted(rows, key=_figure, reverse=True)
    assert opened.page.locator(f"{table} [aria-sort=descending]").count() == 1
    heading.focus()
    opened.page.keyboard.press("Enter")
    assert opened.column(table, "rows/s") == sorted(rows, key=_figure)
    opened.page.locator(f"{table} thead button", has_text="model").click()
    assert opened.column(table, "model") == ["int8", "onnx", "student", "teacher"]
    assert opened.page.locator("[aria-sort]").count() == 1
    assert "Sorted by model, ascending" in opened.page.locator("#said").inner_text()


def test_what_was_not_measured_is_last_in_either_order(show: Show) -> None:
    opened = show(page_of())
    for _ in range(2):
        opened.page.locator("#artifacts thead button", has_text="difference").click()
        assert opened.column("#artifacts table", "difference")[-1] == "-"


def test_the_pointer_on_a_point_shows_its_figures_and_lights_its_row(show: Show) -> None:
    opened = show(page_of())
    opened.page.locator(".point[data-name=int8] .mark").hover()
    assert opened.tip.startswith(
        "int8 accuracy 87.4 [85.8, 89.0] to teacher -0.9 [-2.0, +0.2] rows/s 1,196 speed-up 6.91x"
    )
    assert opened.texts("tr.linked th .figure") == ["int8"]
    opened.page.mouse.move(5, 5)
    assert opened.tip == ""


def test_the_keys_reach_every_point_by_one_tab_stop(show: Show) -> None:
    opened = show(page_of())
    assert opened.page.locator(".point[tabindex='0']").count() == 1
    opened.page.locator(".point[tabindex='0']").focus()
    seen = []
    for _ in demo().artifacts:
        seen.append(opened.tip.split()[0])
        opened.page.keyboard.press("ArrowRight")
    assert seen == ["teacher", "student", "onnx", "int8"]  # from left to right
    label = opened.page.locator(".point[data-name=int8]").get_attribute("aria-label")
    assert "accuracy 87.4 [85.8, 89.0]" in label
    opened.page.keyboard.press("Escape")
    assert opened.tip == ""


def test_the_front_is_that_of_the_report(show: Show) -> None:
    rng = np.random.default_rng(1)
    artifacts = tuple(
        artifact(f"m{place}", "distill", 0.86 + 0.01 * score, 100.0 * rows, 10.0 * size)
        for place, (score, rows, size) in enumerate(rng.integers(1, 5, size=(25, 3)).tolist())
    )
    opened = show(page_of(demo(artifacts=artifacts, baseline="m0", gates=()), evidence(samples=(), examples=None)))
    costs = {
        "throughput": [found.throughput_per_s for found in artifacts],
        "latency": [-found.latency[1].p50_ms for found in artifacts],
        "size": [-found.size_mb for found in artifacts],
    }
    for axis, cost in costs.items():
        opened.page.locator("#tradeoff-axes label", has_text=axis).click()
        scores = [found.metrics["accuracy"].value for found in artifacts]
        expected = {artifacts[place].name for place in pareto_front(list(zip(cost, scores, strict=True)))}
        drawn = opened.page.locator(".point[data-front=true]").evaluate_all("all => all.map(each => each.dataset.name)")
        assert set(drawn) == expected
        assert len(expected) >= 1


def test_points_and_their_intervals_stand_where_their_figures_say(show: Show) -> None:
    opened = show(page_of())
    places = opened.page.locator(".point").evaluate_all(
        "all => all.map(p => [p.dataset.name, p.transform.baseVal[0].matrix.e, p.transform.baseVal[0].matrix.f])"
    )
    found = {name: (x, y) for name, x, y in places}
    rows = {each.name: math.log(each.throughput_per_s) for each in demo().artifacts}  # 6.9 times apart: a log axis
    score = {each.name: each.metrics["accuracy"].value for each in demo().artifacts}
    x_slope = (found["int8"][0] - found["teacher"][0]) / (rows["int8"] - rows["teacher"])
    y_slope = (found["int8"][1] - found["teacher"][1]) / (score["int8"] - score["teacher"])
    for name, (x, y) in found.items():
        assert x - found["teacher"][0] == pytest.approx(x_slope * (rows[name] - rows["teacher"]), abs=0.2)
        assert y - found["teacher"][1] == pytest.approx(y_slope * (score[name] - score["teacher"]), abs=0.2)
    assert y_slope < 0 < x_slope


def test_an_artifact_far_below_is_named_and_drawn_on_request(show: Show) -> None:
    far = artifact("untrained", None, 0.1, 200, 90)
    opened = show(page_of(demo(artifacts=(*demo().artifacts, far))))
    assert opened.page.locator(".point").count() == 4
    button = opened.page.get_by_role("button", name="Show untrained (10.0) too")
    button.click()
    assert opened.page.locator(".point[data-name=untrained]").count() == 1


def test_a_failed_gate_is_hollow_and_in_words(show: Show) -> None:
    opened = show(page_of(failed()))
    assert opened.page.locator(".mark.hollow").count() >= 3
    assert "hollow: a gate failed" in opened.texts("#tradeoff-legend")[0]
    assert "FAILED" in opened.page.locator(".point[data-name=int8]").get_attribute("aria-label")


def test_flips_are_filtered_by_model_class_verdict_and_words(show: Show) -> None:
    opened = show(page_of())
    pick = opened.page.locator("#flips-filters select")
    listed = flips(40)
    count = opened.page.locator("#flips-count")
    assert count.inner_text().startswith("40 rows are listed as flipped; the first 24")
    pick.nth(0).select_option("int8")
    assert count.inner_text().startswith("30 of 40 rows")
    pick.nth(1).select_option("positive")
    pick.nth(2).select_option("won")
    expected = [flip.row for flip in listed[:30] if flip.label == "positive" and flip.verdict == "won"]
    assert [int(text.split()[1]) for text in opened.texts(".flip .row span:first-child")] == expected
    opened.page.locator("#flips-filters input").fill(f"customer {expected[1]}.")
    assert opened.texts(".flip blockquote") == [f"The secret words of customer {expected[1]}."]
    assert "won: int8 positive" in opened.texts(".flip .says")[0]


def test_more_flips_come_on_request_and_the_lost_ones_are_first(show: Show) -> None:
    opened = show(page_of())
    assert opened.page.locator(".flip").count() == 24
    opened.page.get_by_role("button", name="Show more").click()
    assert opened.page.locator(".flip").count() == 40
    lost = [bool(re.search(r"✕ lost", text)) for text in opened.texts(".flip .says")]
    assert lost == sorted(lost, reverse=True)


def test_of_several_classes_a_row_only_answers_about_the_chosen_one_are_shown(show: Show) -> None:
    told = (
        Flip(row=4, verdict="lost", about="a", label="a", before="a", after="not a"),
        Flip(row=4, verdict="won", about="b", label="not b", before="b", after="not b"),
    )
    opened = show(page_of(told=evidence(examples=examples(flips={"int8": told}))))
    lost, won = "✓ right: teacher a → ✕ lost: int8 not a", "✕ wrong: teacher b → ✓ won: int8 not b"
    assert opened.texts(".flip .says") == [lost, won]
    opened.page.locator("#flips-filters select").nth(1).select_option("b")
    assert opened.texts(".flip .says") == [won]


def test_images_have_words_and_words_their_place(show: Show) -> None:
    rows = {
        0: example(0).model_copy(update={"image": PIXEL}),
        2: example(2).model_copy(update={"words": ("in", "Paris")}),
    }
    marked = tuple(flip.model_copy(update={"word": 1 if flip.row == 2 else None}) for flip in flips(3))
    opened = show(page_of(told=evidence(examples=examples(flips={"int8": marked}, rows=rows))))
    assert opened.page.locator(".flip img").get_attribute("alt") == "Row 0, labelled negative"
    assert opened.page.locator(".flip img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 1
    assert opened.texts(".flip mark") == ["Paris"]


def test_recipe_and_host_filter_everything_on_the_page(show: Show) -> None:
    opened = show(html_report(two_runs()))
    shown, scope = "#artifacts tbody tr:visible", opened.page.locator("#scope select")
    assert (opened.page.locator(shown).count(), opened.page.locator(".point").count()) == (8, 8)
    scope.nth(0).select_option("sentiment-small")
    assert (opened.page.locator(shown).count(), opened.page.locator(".point").count()) == (4, 4)
    assert opened.page.locator("#flips-count").inner_text() == "10 rows listed as flipped"
    assert opened.page.locator(".finding:visible").count() == 1
    assert opened.page.locator("#losses-charts figure:visible").count() == 2
    assert opened.page.locator(".strip").count() == 4
    scope.nth(1).select_option("AMD EPYC 9R14 96-Core Processor, 2 cores")
    assert opened.page.locator(shown).count() == 0
    scope.nth(0).select_option("")
    assert opened.page.locator(shown).count() == 4


def test_losses_answer_the_pointer_and_the_keys(show: Show) -> None:
    opened = show(page_of())
    chart = opened.page.locator("#losses-charts svg[role=img]").nth(1)
    assert "kl 0.20 at step 10, 0.0067 at step 300" in chart.get_attribute("aria-label")
    chart.focus()
    opened.page.keyboard.press("ArrowLeft")
    assert opened.tip == "step 290 total 0.00345 kl 0.00690 label 0.0103"
    assert "Step 290: total 0.00345" in opened.page.locator("#said").inner_text()
    box = chart.bounding_box()
    opened.page.mouse.move(box["x"] + 42, box["y"] + 60)
    assert opened.tip.startswith("step 10 total 0.100 kl 0.200")


def test_every_call_is_a_dot_and_percentiles_are_those_of_the_results(show: Show) -> None:
    opened = show(page_of())
    opened.page.locator("#latency-cells label", has_text="32 \u00d7 64").click()
    cells = {each.name: each.latency[3] for each in demo().artifacts}
    for name, cell in cells.items():
        strip = opened.page.locator(f".strip[data-name={name}]")
        assert strip.locator(".sample").count() == 30
        strip.locator(".hit").hover()
        assert opened.tip.startswith(f"{name} p50 {number(cell.p50_ms)} ms p90 {number(cell.p90_ms)} ms")


def test_published_pages_hold_no_words_in_any_state(show: Show) -> None:
    opened = show(publishable_report(counted(demo(), evidence()), evidence(), "name: x\n"))
    assert "What they hold is not in this file" in opened.page.locator("#flips").inner_text()
    assert opened.page.locator(".flip blockquote").count() == 0
    assert "secret words" not in opened.page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_has_the_contrast_of_wcag_aa(show: Show, scheme: str) -> None:
    opened = show(page_of(failed()), scheme=scheme)
    opened.page.locator("details").evaluate_all("all => all.forEach(each => { each.open = true; })")
    opened.page.locator(".point[data-name=int8] .mark").hover()
    poor = [each for each in opened.page.evaluate(CONTRASTS) if each["ratio"] < 4.5]
    assert poor == []


@pytest.mark.parametrize("width", [360, 768])
def test_narrow_screens_need_no_sideways_scrolling(show: Show, width: int) -> None:
    opened = show(html_report(two_runs()), width=width)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = opened.page.evaluate(
        "[...document.querySelectorAll('.chart > svg')].map(each => each.getBoundingClientRect().width)"
    )
    assert len(sizes) == 6
    assert all(0 < size <= width for size in sizes)


def test_colours_can_be_chosen_against_those_of_the_system(show: Show) -> None:
    opened = show(page_of(), scheme="dark")
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = opened.page.evaluate(colour)
    button = opened.page.locator("#theme")
    button.click()
    assert button.inner_text().endswith("light")
    assert opened.page.evaluate(colour) != dark
    button.click()
    assert opened.page.evaluate(colour) == dark
    for _ in range(20):  # Chromium stores what was chosen in its own time: a reload at once may come before it
        opened.page.reload()
        if button.inner_text().endswith("dark"):
            break
        opened.page.wait_for_timeout(100)
    assert button.inner_text().endswith("dark")
    opened.page.evaluate("localStorage.clear()")


def test_everything_that_takes_the_focus_has_a_name(show: Show) -> None:
    opened = show(html_report(two_runs()))
    nameless = opened.page.evaluate(NAMELESS)
    assert nameless == []


def _figure(text: str) -> float:
    return float(text.replace(",", "").rstrip("?"))


#: Elements that take the focus and have no name.
NAMELESS = """() => [...document.querySelectorAll("a, button, input, select, summary, [tabindex='0']")]
  .filter((each) => !(each.getAttribute("aria-label") || each.textContent.trim() || each.labels?.length))
  .map((each) => each.outerHTML.slice(0, 80))"""
#: Of every element that holds words: the contrast of its colour with what is behind it.
CONTRASTS = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => top.slice(0, 3).map((value, i) => value * top[3] + below[i] * (1 - top[3]));
  const luminance = (rgb) => {
    const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((value) => linear(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    const layers = [];
    for (let each = node; each; each = each.parentElement) layers.push(rgba(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const texts = [...node.childNodes].filter((child) => child.nodeType === 3);
    const words = texts.map((child) => child.data.trim()).join("");
    const box = node.getBoundingClientRect();
    if (!words || box.width < 2 || node.closest("script, noscript, option")) continue;
    const style = getComputedStyle(node);
    const below = behind(node);
    const front = over(rgba(node.closest("svg") ? style.fill : style.color), below);
    const [high, low] = [luminance(front), luminance(below)].sort((a, b) => b - a);
    found.push({ words: words.slice(0, 30), ratio: Math.round(100 * (high + 0.05) / (low + 0.05)) / 100 });
  }
  return found;
}"""


def test_what_a_bundle_measured_is_ringed_outside_the_front_and_filtered_by_its_host(show: Show) -> None:
    results = measured(there("h2", "tensorrt", 5000))
    opened = show(page_of(results))
    page, name = opened.page, "int8 @ NVIDIA Jetson Orin NX MAXN"
    point = page.locator(f'.point[data-name="{name}"]')
    assert point.locator(".ring").count() == page.locator(".point .ring").count() == 1
    assert point.get_attribute("data-front") == "false"
    assert "ring: measured by a bundle" in opened.texts("#tradeoff-legend")[0]
    point.hover()
    assert "equal answers 97.7% of 256" in opened.tip
    assert page.locator("tr.linked").get_attribute("data-name") == name
    page.locator("#scope select").select_option(index=2)
    assert [names.split()[0] for names in opened.texts("#artifacts tbody tr:visible th")] == ["int8"]
    assert page.locator(".point").count() == 1
    assert point.get_attribute("data-front") == "true"
