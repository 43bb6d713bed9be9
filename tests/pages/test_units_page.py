"""The page of a model's units, in a real browser: colours, finds, hovering, passages, keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _settings import text_config
from playwright.sync_api import Page

from rondel.errors import InputError
from rondel.inspection.finding import Find
from rondel.inspection.page import STEPS, write_page
from rondel.inspection.trace import Trace, Unit
from rondel.text.tokenizers import train_tokenizer

HOSTILE = "</script><script>document.title='broken'</script><img src=x onerror=alert(1)> & \"x\"\n"
SIZE, LAYERS, FOUND = 24, 2, Unit("hidden", 1, 7)


def trace_of(text: str, size: int = SIZE) -> Trace:
    """Random states, except one unit that is high inside quotes."""
    tokenizer = train_tokenizer(text, text_config())
    count, draw = len(text), np.random.default_rng(1)
    hidden = draw.uniform(-0.5, 0.5, (count, LAYERS, size)).astype(np.float32)
    quoted = np.cumsum([letter == '"' for letter in text]) % 2 == 1
    hidden[:, FOUND.layer, FOUND.index] = np.where(quoted, 1.0, -1.0)
    places = np.arange(count)
    ids = tokenizer.encode(text)
    guesses = (ids[:, None] + np.arange(5)) % tokenizer.vocab_size
    chances = np.tile(np.array([0.5, 0.2, 0.1, 0.05, 0.01], np.float32), (count, 1))
    tracks = {"hidden": hidden, "cell": 2 * hidden, "input": np.abs(hidden)}
    spans = np.stack([places, places + 1], axis=1)
    return Trace(text, ids, spans, list(text), tracks, guesses, chances, tokenizer)


FINDS = [
    Find(FOUND, "inside quotes", "auc", 0.999, 0.998, 0.005),
    Find(Unit("hidden", 0, 2), "position in line", "sine", 0.61, 0.6, 0.01, 17.25),
    Find(Unit("cell", 1, 20), "vowel", "r", -0.45, -0.44, 0.02),
]
AGAIN = Find(Unit("hidden", 1, 7), "depth of brackets", "r", 0.9, 0.9, 0.01)
TEXT = HOSTILE + 'He said "quite so" and went.\nThen "no more" came back.\n' * 40


@pytest.fixture
def open_units(new_page: Callable[..., Page], tmp_path: Path) -> Callable[..., Page]:
    def opened(finds: list[Find] = FINDS, **options: object) -> Page:
        file = tmp_path / "units.html"
        write_page(file, trace_of(TEXT), finds, "play.txt")
        page = new_page(**options)
        page.goto(file.as_uri())
        page.wait_for_selector("body[data-ready]")
        return page

    return opened


def colour_of(page: Page, n: int) -> list[int]:
    """Red, green and blue of a token's background."""
    found: list[int] = page.evaluate(
        f"getComputedStyle(spanOf({n})).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    )
    return found


def is_warm(page: Page, n: int) -> bool:
    red, _, blue = colour_of(page, n)
    return red > blue


def test_it_opens_with_the_strongest_find_and_colours_the_text(
    open_units: Callable[..., Page],
) -> None:
    page = open_units()
    assert page.title() == "Unit 2:8"
    inside, outside = TEXT.index("quite"), TEXT.index("He said")
    assert is_warm(page, inside)
    assert not is_warm(page, outside)
    assert page.locator("#text").inner_text().startswith("</script><script>")
    assert "3 finds" in page.inner_text("#about")


def test_another_unit_recolours_the_text_including_what_is_scrolled_to(
    open_units: Callable[..., Page],
) -> None:
    page, trace = open_units(), trace_of(TEXT)
    page.fill("#number", "3")
    page.locator("#number").dispatch_event("change")
    assert page.title() == "Unit 2:3"
    values = trace.tracks["hidden"][:, 1, 2]
    for n in (np.argmax(values[:100]), np.argmin(values[:100])):
        assert is_warm(page, int(n)) == (values[n] > 0)
        assert page.evaluate(f"values[{n}]") == round(STEPS * float(values[n]))
    last = len(TEXT) - 5
    page.evaluate(f"spanOf({last}).scrollIntoView()")
    page.wait_for_function(f"spanOf({last}).style.backgroundColor !== ''")
    assert is_warm(page, last) == (values[last] > 0)


def test_finds_are_sorted_filtered_and_picked(open_units: Callable[..., Page]) -> None:
    page = open_units()
    first = page.locator("#finds tr td:first-child")
    assert first.all_inner_texts() == ["2:8", "1:3", "cell:2:21"]
    page.click("#heads button:text('unit')")
    assert first.all_inner_texts() == ["cell:2:21", "2:8", "1:3"]
    page.click("#heads button:text('unit')")
    assert first.all_inner_texts() == ["1:3", "2:8", "cell:2:21"]
    page.fill("#filter", "vow")
    assert first.all_inner_texts() == ["cell:2:21"]
    page.click("#finds tr")
    assert page.title() == "Unit cell:2:21"
    assert page.input_value("#track") == "1"


def test_pointing_shows_the_value_and_the_likeliest_next_tokens(
    open_units: Callable[..., Page],
) -> None:
    page = open_units()
    place = TEXT.index("quite")
    page.hover(f"[data-n='{place}']")
    shown = page.inner_text("#here")
    assert f"character {place + 1}" in shown
    assert "unit 2:8: 1.00" in shown
    assert "50.0 %" in shown


def test_a_value_beyond_1_is_shown_in_full_and_extends_the_scale(
    open_units: Callable[..., Page],
) -> None:
    page = open_units()
    page.click("#finds tr:has-text('vowel')")
    values = trace_of(TEXT).tracks["cell"][:, 1, 20]
    assert np.abs(values).max() <= 1
    assert page.inner_text("#highest") == "+1"
    page.select_option("#track", "0")
    page.fill("#number", "8")
    page.locator("#number").dispatch_event("change")
    page.select_option("#track", label="cell")
    assert page.title() == "Unit cell:2:8"
    assert page.inner_text("#highest") == "+2"
    assert page.inner_text("#lowest") == "−2"
    page.hover(f"[data-n='{TEXT.index('quite')}']")
    assert "unit cell:2:8: ≥ 2.00" in page.inner_text("#here")


def test_a_find_left_out_of_the_page_shows_the_hidden_state(
    open_units: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rondel.inspection.page.MAX_OTHER_VALUES", 0)
    page = open_units()
    assert "1 of the finds did not fit" in page.inner_text("#about")
    for _ in range(2):
        page.keyboard.press("j")
    assert page.title() == "Unit 2:21"
    assert "no room for cell:2:21" in page.inner_text("#here")
    assert page.locator("#finds tr[aria-selected=true]").inner_text().startswith("cell:2:21")


def test_a_small_vocabulary_has_fewer_guesses(
    new_page: Callable[..., Page], tmp_path: Path
) -> None:
    trace = trace_of("aaabbb" * 9)
    few = replace(
        trace,
        guesses_ids=trace.guesses_ids[:, :2],
        guesses_probability=np.tile(np.float32([0.75, 0.25]), (len(trace), 1)),
    )
    write_page(tmp_path / "units.html", few, [])
    page = new_page()
    page.goto((tmp_path / "units.html").as_uri())
    page.wait_for_selector("body[data-ready]")
    page.hover("[data-n='40']")
    own, other = (trace.tokenizer.token(int(i)) for i in few.guesses_ids[40])
    assert page.inner_text("#here .faint") == f'next: "{own}" 75.0 % · "{other}" 25.0 %'
    assert "No unit was found" in page.inner_text("#none")


def test_a_trace_without_hidden_states_makes_no_page(tmp_path: Path) -> None:
    trace = trace_of("aaabbb")
    with pytest.raises(InputError, match="hidden states"):
        write_page(tmp_path / "units.html", replace(trace, tracks={}), [])


def test_a_selected_passage_finds_its_units_and_others_like_it(
    open_units: Callable[..., Page],
) -> None:
    page = open_units()
    begin = TEXT.index("quite so")
    page.evaluate(
        f"getSelection().setBaseAndExtent(spanOf({begin}).firstChild, 0, "
        f"spanOf({begin + 7}).firstChild, 1)"
    )
    page.wait_for_selector("#passage:not([hidden])")
    assert page.inner_text("#chosen") == '"quite so"'
    assert page.locator("#firing button").first.inner_text().startswith("2:8: +")
    place = int(page.locator("#again button").first.inner_text().partition(":")[0]) - 1
    page.locator("#again button").first.click()
    quoted = np.cumsum([letter == '"' for letter in TEXT]) % 2 == 1
    assert quoted[place : place + 8].mean() > 0.5
    assert page.evaluate("document.querySelectorAll('.near').length") == 8


def test_keys_go_through_finds_units_tracks_and_layers(open_units: Callable[..., Page]) -> None:
    page = open_units(viewport={"width": 380, "height": 700}, color_scheme="dark")
    titles = []
    for key in ("j", "j", "k", "]", "[", "l", "t"):
        page.keyboard.press(key)
        titles.append(page.title().removeprefix("Unit "))
    assert titles == ["1:3", "cell:2:21", "1:3", "1:4", "1:3", "2:3", "cell:2:8"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_keys_go_past_a_unit_that_was_found_twice(open_units: Callable[..., Page]) -> None:
    page = open_units([FINDS[0], AGAIN, FINDS[1]])
    for key in ("j", "j"):
        page.keyboard.press(key)
    assert page.title() == "Unit 1:3"
    page.keyboard.press("k")
    assert page.locator("#finds tr[aria-selected=true] td").nth(1).inner_text() == AGAIN.feature


def test_a_thousand_units_over_20_000_characters_fit_and_are_switched_at_once(
    new_page: Callable[..., Page], tmp_path: Path
) -> None:
    text = (TEXT * 10)[:20_000]
    file = tmp_path / "units.html"
    write_page(file, trace_of(text, 512), FINDS)
    assert file.stat().st_size < 25_000_000
    page = new_page()
    page.goto(file.as_uri())
    page.wait_for_selector("body[data-ready]")
    page.keyboard.press("]")
    assert page.title() == "Unit 2:9"
    assert page.evaluate("values.length") == 20_000
