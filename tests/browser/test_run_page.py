"""The report of a run in a browser: a large one, with one test that fails and one that breaks."""

from __future__ import annotations

import re

import pytest

from pytest_microtvm.report.html.run import About, run_page
from tests.browser.records import BOARDS, BROKEN, FAILED, MESSAGE, MODELS, outcomes_of, records

SHOWN = "#table tbody tr:not([hidden])"
MAX_BYTES = 3_000_000
MAX_CPU_S = 1.0

pages = pytest.importorskip("tests.browser.pages", reason="install it: pip install playwright")


def written(made, path):
    about = About("firmware", "2030-01-01 12:00:00 UTC", 61.5, (("Command", "pytest models"),))
    path.write_text(run_page(made, outcomes_of(made), about), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return written(records(), tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def small_report(tmp_path_factory):
    """Of few results: axe-core looks at every element."""
    few = [each for each in records() if each["board"] in ("mps2_an386", "microbit", "host")]
    return written(few, tmp_path_factory.mktemp("report") / "small.html")


@pytest.fixture(scope="module")
def page(browser, report):
    """The report, open, for tests that leave it as it was."""
    with pages.opened(browser, report) as found:
        yield found


def luminance(page, selector: str) -> float:
    text = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).backgroundColor")
    return sum(map(int, re.findall(r"\d+", text)[:3])) / 3


def title_of(found) -> str:
    return " ".join(found.page.locator("#card .title").inner_text().split())


def test_a_report_of_a_hundred_results_is_small_and_opens_at_once(browser, report):
    assert report.stat().st_size < MAX_BYTES
    with pages.opened(browser, report) as found:
        # The processor's time, all charts included: others may have the machine meanwhile.
        assert found.cpu_s() < MAX_CPU_S


def test_every_result_has_a_row_and_a_mark_in_the_matrix(page):
    assert len(page.texts(SHOWN)) == len(BOARDS) * len(MODELS) * 2 == 112
    assert page.page.locator(".matrix a.mark").count() == 112
    assert page.page.locator(".matrix a.failed").get_attribute("title") == (
        "aot: failed, 12 of 96 differ"
    )
    assert page.texts(".counts li") == ["1 error", "1 failed", "110 passed"]


def test_the_page_is_silent_and_asks_for_nothing(page):
    assert page.complaints == []
    assert page.requests == []
    assert page.page.evaluate("window.planted") is None


def test_what_went_wrong_is_told_first(page):
    first, second = page.texts("#wrong .trouble")
    assert "::graph[microbit]" in first
    assert FAILED[0] in second
    assert MESSAGE in second


def test_words_and_outcomes_filter_the_rows(browser, report):
    with pages.opened(browser, report) as found:
        found.page.fill("#filter", "kws RISCV graph")
        shown = found.texts(SHOWN)
        assert len(shown) == 2
        assert all("kws.tflite" in row and "graph" in row for row in shown)
        assert found.page.locator("#shown").inner_text() == "2 of 112"
        found.page.fill("#filter", "")
        found.page.uncheck("input[value=passed]")
        assert len(found.texts(SHOWN)) == 2
        found.page.fill("#filter", "nothing like it")
        assert found.texts(SHOWN) == []
        assert found.complaints == []


def test_a_heading_sorts_by_its_column_up_and_down(browser, report):
    def column(number: int) -> list[str]:
        return found.texts(f"{SHOWN} > :nth-child({number})")

    with pages.opened(browser, report) as found:
        heading = found.page.locator("#table thead th", has_text="Flash")
        heading.locator("button").click()
        flash = [int(text.replace(",", "")) for text in column(7)]
        assert flash == sorted(flash)
        assert flash[0] < flash[-1]
        assert heading.get_attribute("aria-sort") == "ascending"
        heading.locator("button").click()
        assert [int(text.replace(",", "")) for text in column(7)] == sorted(flash, reverse=True)
        instructions = found.page.locator("#table thead th", has_text="Instructions")
        for _ in range(2):
            instructions.locator("button").click()
            assert column(11)[-1] == "-"  # what is not there comes last, whichever way
        found.page.locator("#table thead th", has_text="Board").locator("button").click()
        assert column(2) == sorted(column(2))


def test_the_result_that_failed_is_open_with_all_its_charts(page):
    card = page.page.locator("#card")
    assert title_of(page) == "kws.tflite on mps2_an386, aot failed"
    titles = page.texts("#card h3")
    for title in ("Output scores", "Memory", "Arena over time", "Instructions by layer"):
        assert title in titles
    assert {"Roofline", "Timings", "Layers", "Tests"} <= set(titles)
    charts = card.locator(".chart svg")
    assert charts.count() == 9  # three of the output, two of memory, and one of each other
    described = page.page.eval_on_selector_all(
        "#card .chart", "all => all.map((each) => each.getAttribute('aria-label'))"
    )
    assert "How far the elements of scores are off" in described
    gauges = page.texts("#card .gauge")
    assert gauges == [
        "Flash: 90,030 of 1,048,576 bytes (8.6 %)",
        "RAM: 60,000 of 262,144 bytes (22.9 %)",
    ]
    assert len(page.texts("#card table.plain >> nth=0 >> tbody tr")) == MODELS[FAILED[0]]
    assert "pytest 'models/kws.tflite::aot[mps2_an386]'" in card.inner_text()
    assert "[mps2_an386] ready" in card.inner_text()


def test_an_address_opens_a_result_and_arrows_go_on(browser, report):
    with pages.opened(browser, report, hash_="r3") as found:
        assert title_of(found) == "ad.tflite on host, aot passed"
        assert "only an emulator counts instructions" in found.page.locator("#card").inner_text()
        found.page.click("#next")
        found.page.wait_for_function(
            "document.querySelector('#card .title').textContent.includes('graph')"
        )
        found.page.locator(".matrix a.error").click()
        found.page.wait_for_function(
            f"document.querySelector('#card .title').textContent.includes('{BROKEN[1]}')"
        )
        assert found.page.locator("#chosen").input_value() == "r50"
        assert found.complaints == []


def test_dark_pages_are_dark_and_the_button_changes_them(browser, report, keep_screenshot):
    with pages.opened(browser, report, scheme="dark") as found:
        keep_screenshot(found.page, "report-dark")
        assert luminance(found.page, "body") < 60
        ink = "getComputedStyle(document.querySelector('#card svg text')).fill"
        light = found.page.evaluate(ink)
        found.page.click("#theme")
        assert luminance(found.page, "body") > 200
        found.page.wait_for_function(f"{ink} !== '{light}'")
        assert found.complaints == []


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", pages.WIDE), ("dark", pages.PHONE)], ids=["desk", "phone"]
)
def test_nobody_is_left_out(browser, small_report, keep_screenshot, scheme, size):
    with pages.opened(browser, small_report, scheme=scheme, size=size) as found:
        keep_screenshot(found.page, f"report-{scheme}-{size[0]}")
        assert found.findings() == []
        width = found.page.evaluate("document.documentElement.scrollWidth")
        assert width <= size[0]  # tables scroll in their own boxes


def test_paper_has_the_tables_and_no_buttons(page, keep_screenshot):
    page.page.emulate_media(media="print", color_scheme="dark")
    try:
        assert not page.page.locator("#filter").is_visible()
        assert page.page.locator("#table").is_visible()
        assert luminance(page.page, "body") == 255
        assert page.page.pdf(format="A4").startswith(b"%PDF")
    finally:
        page.page.emulate_media(media="screen", color_scheme="light")


def test_a_run_of_nothing_has_a_page(browser, tmp_path):
    with pages.opened(browser, written([], tmp_path / "empty.html")) as found:
        assert found.texts(SHOWN) == []
        assert found.complaints == []


def test_results_without_figures_have_pages(browser, tmp_path):
    bare = []
    for outcome, each in zip(("skipped", "built"), records(), strict=False):
        nothing: dict[str, object] = {
            "metrics": {},
            "absent": {},
            "layers": [],
            "tests": [],
            "verdict": None,
        }
        steps = dict.fromkeys(each["timings_s"], 0.0)
        bare.append({**each, **nothing, "outcome": outcome, "elements": 0, "timings_s": steps})
        del bare[-1]["arena"], bare[-1]["pictures"], bare[-1]["board_bytes"]
    with pages.opened(browser, written(bare, tmp_path / "bare.html"), hash_="r2") as found:
        assert title_of(found) == "ad.tflite on qemu_x86, graph built"
        assert "None of the results" in found.page.locator("#compared").inner_text()
        assert found.complaints == []
