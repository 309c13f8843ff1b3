"""A real browser: Debian's Chromium without a window, driven by playwright.

    async with Browser.open() as browser, browser.showing(url, width=400) as sight:
        assert sight.complaints == []

A sight has no network unless it is asked for: a page that fetches something finds that out, and so does the test.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser as Chromium
from playwright.async_api import ConsoleMessage, Page, Request, async_playwright

PROGRAMS = ("chromium-headless-shell", "chromium")
DEADLINE_MS = 20_000
HEIGHT = 900

_DOTS = """
(canvas, colours) => {
    const { width, height } = canvas;
    const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
    const near = (at, colour) => colour.every((part, channel) => Math.abs(data[at + channel] - part) <= 16);
    return colours.map(colour => {
        let dots = 0;
        for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 240 && near(at, colour)) dots += 1;
        return dots;
    });
}
"""


@dataclass(eq=False)  # neither frozen nor slotted: playwright writes into the object that a listener is bound to
class Sight:
    """A page as somebody sees it, and everything that it complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings on the console, uncaught exceptions, requests that failed."""
    fetched: list[str] = field(default_factory=list)
    """Every address it asked for, its own first; `data:` is not asked of anybody."""

    async def dots(self, selector: str, colours: list[tuple[int, int, int]]) -> list[int]:
        """How many dots of the canvas at `selector` have each of the `colours`, or nearly so."""
        counted: list[int] = await self.page.locator(selector).evaluate(_DOTS, [list(colour) for colour in colours])
        return counted

    async def too_wide(self) -> list[str]:
        """Elements that reach beyond the page's right edge, so that the whole page scrolls sideways."""
        beyond: list[str] = await self.page.evaluate(
            """() => document.documentElement.scrollWidth <= innerWidth ? [] :
                [...document.querySelectorAll("body *")]
                    .filter(one => one.getBoundingClientRect().right > innerWidth + 1)
                    .map(one => `${one.tagName}.${one.className}`)"""
        )
        return beyond

    async def picture(self, file: Path) -> None:
        """The whole page, as PNG."""
        await self.page.screenshot(path=file, full_page=True)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith("data:"):
            self.fetched.append(request.url)

    def _listen(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.page.on("request", self._asked)
        self.page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))


@dataclass(frozen=True, slots=True)
class Browser:
    """A running Chromium; each sight is a visitor of its own, without cookies or a cache."""

    chromium: Chromium

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls) -> AsyncIterator[Browser]:
        """Starts it. A missing Chromium is a failure that says how to get one."""
        async with async_playwright() as playwright:
            chromium = await playwright.chromium.launch(
                executable_path=_program(),
                # The sandbox needs a user of its own, which containers do not give; the pages are ours.
                args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb"],
                timeout=DEADLINE_MS,
            )
            try:
                yield cls(chromium)
            finally:
                await chromium.close()

    @contextlib.asynccontextmanager
    async def showing(
        self,
        url: str,
        *,
        width: int = 1280,
        scheme: Literal["light", "dark"] = "light",
        offline: bool = True,
        **more: Any,
    ) -> AsyncIterator[Sight]:
        """`url` in a window `width` dots wide. `more` is for playwright's new_context."""
        context = await self.chromium.new_context(
            viewport={"width": width, "height": HEIGHT}, color_scheme=scheme, offline=offline, **more
        )
        context.set_default_timeout(DEADLINE_MS)
        try:
            sight = Sight(await context.new_page())
            sight._listen()
            await sight.page.goto(url, wait_until="load")
            yield sight
        finally:
            await context.close()


def _program() -> str:
    for name in PROGRAMS:
        found = shutil.which(name)
        if found is not None:
            return found
    pytest.fail("a browser is needed; run: sudo apt-get install -y chromium-headless-shell", pytrace=False)
