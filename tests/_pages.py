"""What tests of the page for writing share, whoever answers it."""

from __future__ import annotations

import re
import time

from _serving import PATIENCE
from playwright.sync_api import Page

PHONE = {"width": 375, "height": 700}
WRITTEN = re.compile(r"characters in .* s, seed \d+")


def until(page: Page, condition: str) -> None:
    """Wait for it; what Playwright has for this is forbidden by the page's own policy."""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"it did not come to be that {condition}"
        page.wait_for_timeout(20)


def written(page: Page) -> str:
    """The text on the page."""
    text: str = page.locator("#paper").evaluate("paper => paper.textContent")
    return text
