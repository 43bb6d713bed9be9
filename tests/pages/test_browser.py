"""Tests of the browser fixtures: they report errors in a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page


def test_errors_in_a_page_are_noticed(new_page: Callable[..., Page], tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(
        "<h1>here</h1><script>console.error('wrong'); throw new Error('worse')</script>"
    )
    page = new_page(viewport={"width": 360, "height": 640})
    page.goto(file.as_uri())
    assert page.inner_text("h1") == "here"
    assert page.complaints == ["wrong", "error: worse"]
    page.complaints.clear()
