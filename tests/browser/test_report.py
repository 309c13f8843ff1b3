"""The report of a load run in a real browser, from a file, with the network off."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from playwright.async_api import Locator

from bench.compare import page as compare_page
from bench.compare.comparison import Comparison
from bench.compare.sample import Sample
from bench.report import page
from tests.bench.report.test_page import HOSTILE, hostile
from tests.kit.browser import Browser, Sight
from tests.kit.runs import sampled_run
from tests.kit.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLOTS = 10
FEW_DOTS = 10


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with Browser.open() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def address(folder: Path) -> str:
    """Of the report of a whole run."""
    return _put(folder / "report.html", page.rendered(sampled_run()))


def _put(file: Path, text: str) -> str:
    page.write(text, file)
    return file.as_uri()


async def assert_well(sight: Sight, address: str) -> None:
    assert sight.complaints == []
    assert sight.fetched == [address]


async def drawn(sight: Sight) -> dict[str, list[int]]:
    """For each plot, how many dots each of its curves has left on its canvas."""
    curves: dict[str, list[list[int]]] = await sight.page.evaluate(_COLOURS)
    return {
        name: await sight.dots(f"#{name} canvas", [(red, green, blue) for red, green, blue in colours])
        for name, colours in curves.items()
    }


_COLOURS = """
() => {
    const { plots } = JSON.parse(document.getElementById("drawing").textContent);
    const style = getComputedStyle(document.documentElement);
    const parts = hex => [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16));
    return Object.fromEntries(plots.map(({ name, curves }) =>
        [name, curves.map(({ colour }) => parts(style.getPropertyValue(`--${colour}`).trim()))]));
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
async def test_every_curve_of_every_plot_is_drawn(
    browser: Browser, address: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    async with browser.showing(address, width=width, scheme=scheme) as sight:
        await assert_well(sight, address)
        assert await sight.too_wide() == []
        found = await drawn(sight)
        assert len(found) == PLOTS
        assert {name: dots for name, dots in found.items() if min(dots) < FEW_DOTS} == {}


async def test_a_curve_that_is_not_drawn_would_be_noticed(browser: Browser, folder: Path) -> None:
    """The same page, where no plot gets the numbers of its curves."""
    bare = page.rendered(sampled_run()).replace('"values": [', '"values": [], "gone": [')
    async with browser.showing(_put(folder / "bare.html", bare)) as sight:
        assert max(max(dots) for dots in (await drawn(sight)).values()) < FEW_DOTS


async def test_the_verdict_is_what_one_sees_first(browser: Browser, folder: Path) -> None:
    run = sampled_run()
    failed = replace(run, verification=replace(run.verification, wrong=3))
    async with browser.showing(_put(folder / "failed.html", page.rendered(failed)), width=400) as sight:
        verdict = sight.page.locator(".verdict")
        assert (await verdict.inner_text()).startswith("Failed")
        assert "wrong bytes at 3 places" in await verdict.inner_text()
        box = await verdict.bounding_box()
        assert box is not None
        assert box["y"] < 200


async def test_a_hostile_record_runs_nothing(browser: Browser, folder: Path) -> None:
    address = _put(folder / "hostile.html", page.rendered(hostile(sampled_run())))
    async with browser.showing(address) as sight:
        await assert_well(sight, address)
        assert await sight.page.locator("h1").inner_text() == HOSTILE
        assert await sight.page.locator("img").count() == 0


async def test_the_policy_stops_what_was_never_written_into_the_page(browser: Browser, folder: Path) -> None:
    """Were the escaping wrong, the page's own policy would still let nothing run and nothing be fetched."""
    attack = '<script>hit = 1</script><img src="http://127.0.0.1:9/x"><p style="color: red"></body>'
    text = page.rendered(sampled_run()).replace("</body>", attack)
    async with browser.showing(_put(folder / "attacked.html", text)) as sight:
        assert await sight.page.evaluate("typeof hit") == "undefined"
        assert sum("Content Security Policy" in one for one in sight.complaints) == 3


async def _are_told(values: Locator) -> bool:
    return "–" not in await values.all_inner_texts()


async def test_a_comparison_draws_both_sides(browser: Browser, folder: Path) -> None:
    before, after = sampled_run(1), sampled_run(2, slower=1.3)
    found = Comparison(Sample([before]), Sample([after]), seed=1, draws=100)
    text = compare_page.rendered([("a", before)], [(HOSTILE, after)], found.rows(), [], [HOSTILE])
    address = _put(folder / "compare.html", text)
    async with browser.showing(address, width=400) as sight:
        await assert_well(sight, address)
        assert await sight.too_wide() == []
        dots = await drawn(sight)
        assert len(dots) == 8
        assert {name: counted for name, counted in dots.items() if min(counted) < FEW_DOTS} == {}


async def test_the_legend_tells_what_is_under_the_pointer(browser: Browser, address: str) -> None:
    async with browser.showing(address) as sight:
        await sight.page.locator("#throughput .u-over").hover()
        values = sight.page.locator("#throughput .u-legend .u-value")
        await until(partial(_are_told, values), "numbers in the legend")
        told = await values.all_inner_texts()
        assert told[0].endswith(" s")
        assert all(value.endswith("B/s") for value in told[1:])


async def test_time_plots_move_together(browser: Browser, address: str) -> None:
    async with browser.showing(address) as sight:
        await sight.page.locator("#throughput .u-over").hover()
        seconds = sight.page.locator("#throughput tr:first-child .u-value, #hit-ratio tr:first-child .u-value")
        await until(partial(_are_told, seconds), "the second in both legends")
        here, there = await seconds.all_inner_texts()
        assert here == there


async def test_plots_follow_the_window(browser: Browser, address: str) -> None:
    async with browser.showing(address, width=1280) as sight:
        before = await sight.page.locator("#throughput canvas").get_attribute("width")
        await sight.page.set_viewport_size({"width": 500, "height": 800})
        await sight.page.wait_for_function(
            "before => document.querySelector('#throughput canvas').getAttribute('width') !== before", arg=before
        )
        assert await sight.too_wide() == []
        assert sight.complaints == []


async def _is_drawn_anew(sight: Sight) -> bool:
    return min((await drawn(sight))["throughput"]) >= FEW_DOTS


async def test_paper_is_white_even_in_the_dark(browser: Browser, address: str) -> None:
    async with browser.showing(address, scheme="dark") as sight:
        await sight.page.emulate_media(media="print")
        colour = "getComputedStyle(document.body).backgroundColor"
        assert await sight.page.evaluate(colour) == "rgb(255, 255, 255)"
        await until(partial(_is_drawn_anew, sight), "the plots in the colours of paper")
        assert sight.complaints == []


async def test_without_scripts_the_numbers_are_there(browser: Browser, address: str) -> None:
    async with browser.showing(address, java_script_enabled=False) as sight:
        assert await sight.page.get_by_text("This plot needs JavaScript").first.is_visible()
        details = sight.page.locator("#throughput details")
        await details.locator("summary").click()
        assert await details.get_by_role("cell", name="MB/s").count() > 20
