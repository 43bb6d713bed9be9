"""The page of a latent space, in a real browser: reading, searching, and paths between two."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _sentence_vae import random_vae
from playwright.sync_api import Page

from rondel.pages import fill_page

HOSTILE = "</script><script>document.title='broken'</script><b>& \"horse\""
WORDS = ["man", "dog", "horse", "table", "beach", "people"]


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """A latent space of sentences of two and three words, one of them hostile."""
    vae = random_vae(longest_sentence=40)
    sentences = [f"{a} {b}" for a in WORDS for b in WORDS] + [HOSTILE]
    made = vae.landscape(sentences, landmarks=6, steps=5)
    return {**made, "model": "<i>vae</i>", "source": "captions.txt"}


@pytest.fixture
def open_map(
    facts: dict[str, Any], new_page: Callable[..., Page], tmp_path: Path
) -> Callable[..., Page]:
    def opened(**options: Any) -> Page:
        file = tmp_path / "latent.html"
        file.write_text(fill_page("latent.html", facts), encoding="utf-8")
        page = new_page(**options)
        page.goto(file.as_uri())
        return page

    return opened


def _place(page: Page, number: int) -> dict[str, float]:
    x, y = page.evaluate(f"place({number})")
    return {"x": x, "y": y}


def _alone(page: Page, facts: dict[str, Any], numbers: list[int]) -> list[int]:
    """Those of `numbers` whose sentences no other one covers."""
    places = np.array([page.evaluate(f"place({i})") for i in range(len(facts["sentences"]))])
    far = np.linalg.norm(places[:, None] - places, axis=2) + 1e3 * np.eye(len(places))
    return [i for i in numbers if far[i].min() > 3]


def _path_of(page: Page) -> list[str]:
    return page.locator("#path li").all_inner_texts()


def test_two_clicks_show_the_decoded_path_in_either_direction(
    open_map: Callable[..., Page], facts: dict[str, Any]
) -> None:
    page = open_map(viewport={"width": 1200, "height": 800})
    assert page.inner_text("h1") == "The latent space of <i>vae</i>"
    a, b = _alone(page, facts, facts["landmarks"])[:2]
    low, high = facts["landmarks"].index(a), facts["landmarks"].index(b)
    pairs = [(i, j) for i in range(6) for j in range(i + 1, 6)][: len(facts["paths"])]
    whole = [facts["ends"][low], *facts["paths"][pairs.index((low, high))], facts["ends"][high]]
    for first, second, expected in ((a, b, whole), (b, a, whole[::-1])):
        page.click("#map", position=_place(page, first))
        assert page.inner_text("#here") == facts["sentences"][first]
        page.click("#map", position=_place(page, second))
        marked = [
            f"= {text}" if n and text == expected[n - 1] else text
            for n, text in enumerate(expected)
        ]
        assert [text.strip() for text in _path_of(page)] == [text.strip() for text in marked]
        assert page.inner_text("#picked").count("a landmark itself") == 2


def test_a_click_elsewhere_selects_and_names_the_nearest_landmark(
    open_map: Callable[..., Page], facts: dict[str, Any]
) -> None:
    page = open_map(viewport={"width": 1200, "height": 800})
    others = [i for i in range(len(facts["sentences"])) if i not in facts["landmarks"]]
    chosen = _alone(page, facts, others)[0]
    page.click("#map", position=_place(page, chosen))
    landmark = facts["sentences"][facts["landmarks"][facts["near"][chosen]]]
    assert f"nearest landmark: “{landmark}”" in page.inner_text("#picked")


def test_searching_lists_what_is_there_and_no_text_is_markup(
    open_map: Callable[..., Page], facts: dict[str, Any]
) -> None:
    page = open_map(viewport={"width": 360, "height": 640}, color_scheme="dark")
    page.fill("#search", "HORSE")
    expected = [text for text in facts["sentences"] if "horse" in text]
    assert page.locator("#found button").all_inner_texts() == expected
    assert page.inner_text("#count") == f"{len(expected)} found"
    page.locator("#found button").last.click()
    assert HOSTILE in page.inner_text("#picked")
    assert page.title() == "Latent space"
    assert page.locator("b").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_keyboard_walks_and_picks(open_map: Callable[..., Page], facts: dict[str, Any]) -> None:
    page = open_map(viewport={"width": 1000, "height": 700})
    page.focus("#map")
    page.keyboard.press("ArrowRight")
    seen = [page.inner_text("#here")]
    assert seen == [facts["sentences"][facts["landmarks"][0]]]
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
        seen.append(page.inner_text("#here"))
    assert len(set(seen)) > 2
    page.keyboard.press("Enter")
    assert f"From “{seen[-1]}”" in page.inner_text("#picked")
    page.keyboard.press("Escape")
    assert page.inner_text("#picked") == ""


def test_zooming_in_and_out(open_map: Callable[..., Page]) -> None:
    page = open_map(viewport={"width": 1000, "height": 700})
    before = _place(page, 0)
    page.click("#closer")
    assert _place(page, 0) != before
    page.click("#whole")
    assert _place(page, 0) == before


def test_the_page_makes_no_network_request(facts: dict[str, Any]) -> None:
    page = fill_page("latent.html", facts)
    assert re.findall(r"https?:|src=|@import|url\(", page) == []
