"""A real browser, and pages in it that may not say a word to any other host."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

PATIENCE = 600_000
"""Milliseconds to wait for what has to come: as many as a slow machine may take."""
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
# A root user, as in a container, has no sandbox; the rest keeps it from looking for its maker.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    assert program, f"the tests of pages need a browser: install one of {', '.join(PROGRAMS)}"
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=OPTIONS, timeout=PATIENCE
        )
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages (`new_page(viewport=…, color_scheme=…)`), and sees that nothing goes wrong there.

    What a page says on its console as an error, or asks of another host than this one, fails the
    test, unless the test takes it out of `page.complaints` itself.
    """
    contexts, complaints = [], []

    def open_page(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        page.on("request", lambda asked: _is_foreign(asked.url) and complaints.append(asked.url))
        page.complaints = complaints  # type: ignore[attr-defined]
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def _is_foreign(url: str) -> bool:
    here = ("file:", "data:", "blob:", "about:", "http://127.0.0.1", "http://localhost")
    return not url.startswith(here)
