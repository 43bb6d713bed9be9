"""The page that `rondel export --to html` writes, in a real browser, from disk."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from _both import random_text_model
from _pages import PHONE, WRITTEN, until, written
from _serving import ENDLESS, write_language_model, write_sentence_vae
from playwright.sync_api import Page, expect

import rondel
from rondel import artifact
from rondel.exporters import exporters
from rondel.exporters.base import write_export


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("exported")
    random_text_model(level="word").save(home / "filler")
    return {
        "tiny": write_language_model(home / "tiny"),
        "walker": write_sentence_vae(home / "walker"),
        "filler": home / "filler",
    }


@pytest.fixture
def open_page(
    new_page: Callable[..., Page], folders: dict[str, Path], tmp_path: Path
) -> Callable[..., Page]:
    """Open the page of a model, from a file."""

    def opened(address: str = "", name: str = "tiny", **options: object) -> Page:
        file = tmp_path / f"{name}.html"
        if not file.exists():
            parts = artifact.load(folders[name])
            write_export(file, exporters["html"].content(parts, name, "fp32"))
        page = new_page(**options)
        page.goto(f"{file.as_uri()}{address}")
        page.wait_for_selector("body[data-ready]")
        return page

    return opened


def test_what_is_written_is_the_models_text_for_that_seed(
    open_page: Callable[..., Page], folders: dict[str, Path]
) -> None:
    page = open_page("#length=80&seed=4")
    page.fill("#prime", "Once ")
    page.locator("#rule-temperature").fill("0.7")
    page.fill("#rule-top_k", "9")
    page.click("#write")
    expect(page.locator("#status")).to_have_text(WRITTEN)
    model = rondel.load(folders["tiny"])
    assert written(page) == model.sample("Once ", length=80, seed=4, temperature=0.7, top_k=9)
    assert page.locator("#paper .prime").count() == 5
    page.click("#more")
    expect(page.locator("#paper span")).to_have_count(5 + 160)


def test_without_a_prime_it_begins_as_the_models_own_text(
    open_page: Callable[..., Page], folders: dict[str, Path]
) -> None:
    page = open_page("#seed=3&length=60")
    page.click("#write")
    expect(page.locator("#status")).to_have_text(WRITTEN)
    assert written(page) == rondel.load(folders["tiny"]).sample(seed=3, length=60)


def test_without_webassembly_it_writes_the_same(
    open_page: Callable[..., Page], folders: dict[str, Path], tmp_path: Path
) -> None:
    content = exporters["html"].content(artifact.load(folders["tiny"]), "plain", "fp32")
    assert isinstance(content, bytes)
    plain = re.sub(rb'(id="wasm">)[^<]+', rb"\1", content)
    (tmp_path / "plain.html").write_bytes(plain)
    page = open_page("#prime=Once&seed=3&length=60", "plain")
    page.click("#write")
    expect(page.locator("#status")).to_have_text(WRITTEN)
    assert written(page) == rondel.load(folders["tiny"]).sample("Once", seed=3, length=60)


def test_text_streams_stops_and_goes_on(open_page: Callable[..., Page]) -> None:
    page = open_page(f"#prime=Once&length={ENDLESS // 10}")
    page.click("#write")
    until(page, "document.getElementById('paper').textContent.length > 40")
    page.click("#stop")
    expect(page.locator("#status")).to_have_text(re.compile("Stopped"))
    kept = written(page)
    page.fill("#length", "10")
    page.click("#more")
    expect(page.locator("#status")).to_have_text(re.compile("^10 characters in"))
    assert written(page)[:-10] == kept


def test_it_is_coloured_by_surprisal_and_by_units_as_in_python(
    open_page: Callable[..., Page], folders: dict[str, Path]
) -> None:
    page = open_page("#prime=Once&seed=2&length=30")
    page.click("#write")
    expect(page.locator("#status")).to_have_text(WRITTEN)
    model = rondel.load(folders["tiny"])
    page.hover("[data-n='9']")
    likely = float(re.findall(r"([\d.]+) % likely", page.inner_text("#here"))[0])
    table = model.score(written(page), unit="nats", start="skip")
    assert likely == pytest.approx(100 * 2.718281828 ** -table["surprisal_nats"][9], abs=0.6)
    page.select_option("#colour", "unit")
    page.select_option("#track", "cell")
    page.select_option("#layer", "2")
    page.fill("#unit", "7")
    expect(page.locator("#here")).to_contain_text("unit cell:2:7:")
    with model.trace(written(page)) as trace:
        values = trace.values(trace.unit("cell:2:7"))
    shown = float(page.inner_text("#here").rsplit(":", 1)[1])
    assert shown == pytest.approx(values[9] / max(1, abs(values).max()), abs=0.006)


def test_a_link_brings_all_settings_and_the_same_text(open_page: Callable[..., Page]) -> None:
    page = open_page("#prime=a%20%26%20b&length=40&temperature=0.55&until=Q")
    page.click("#write")
    expect(page.locator("#status")).to_have_text(WRITTEN)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#link")
    expect(page.locator("#status")).to_have_text(re.compile("copied|copy by hand"))
    seed = page.evaluate("navigator.clipboard.readText()").rsplit("seed=", 1)[1]
    other = open_page(f"#prime=a%20%26%20b&length=40&temperature=0.55&until=Q&seed={seed}")
    other.click("#write")
    expect(other.locator("#status")).to_have_text(WRITTEN)
    assert written(other) == written(page)


def test_what_cannot_be_is_refused_in_words(open_page: Callable[..., Page]) -> None:
    page = open_page("#prime=Once")
    page.fill("#rule-repetition_penalty", "-3")
    page.click("#write")
    expect(page.locator("#status")).to_have_text(
        "Repetition_penalty must be a number, at least 0.01 and at most 100, not -3."
    )


def test_sentences_are_made_up_written_back_and_walked_between(
    open_page: Callable[..., Page], folders: dict[str, Path]
) -> None:
    page = open_page("#seed=3", "walker")
    vae = rondel.load(folders["walker"])
    page.click("[data-do=sample]")
    expect(page.locator("#paper p")).to_have_count(8)
    assert page.locator("#paper p").all_inner_texts() == vae.sample_sentences(8, seed=3)
    page.fill("#first", "horse")
    page.fill("#second", "Two people sit at a table")
    page.click("[data-do=interpolate]")
    expect(page.locator("#paper p")).to_have_count(9)
    steps = vae.interpolate("horse", "Two people sit at a table", steps=9)
    assert page.locator("#paper p").all_inner_texts() == [step.text for step in steps]
    page.click("[data-do=reconstruct]")
    expect(page.locator("#paper p")).to_have_count(6)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#sentences .link")
    expect(page.locator("#status")).to_have_text("Link copied.")
    assert "a=horse" in page.evaluate("navigator.clipboard.readText()")
    page.fill("#first", "")
    page.click("[data-do=reconstruct]")
    expect(page.locator("#status")).to_have_text(re.compile("A sentence is empty"))


def test_gaps_are_filled(open_page: Callable[..., Page], folders: dict[str, Path]) -> None:
    page = open_page("#seed=1", "filler")
    page.fill("#gapped", "the ___ is ___")
    page.click("[data-do=fill]")
    expect(page.locator("#status")).to_have_text("5 texts.")
    filled = rondel.load(folders["filler"]).fill("the ___ is ___", seed=1)
    assert page.locator("#paper p").all_inner_texts() == [one.text for one in filled]
    assert open_page().locator("#gaps").is_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_needs_no_mouse(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page("#length=400&seed=1", viewport=PHONE, color_scheme=scheme, has_touch=True)
    page.focus("#prime")
    page.keyboard.type("Once")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#status")).to_have_text(WRITTEN)
    page.focus("#paper")
    page.keyboard.press("End")
    assert "likely" in page.inner_text("#here")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(251, 250, 247)", "dark": "rgb(23, 24, 26)"}[scheme]
