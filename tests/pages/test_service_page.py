"""The page of `rondel serve`, in a real browser, before a real server."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pages import PHONE, WRITTEN, until, written
from _serving import (
    ENDLESS,
    LET_ENDLESS,
    Server,
    serving,
    write_language_model,
    write_sentence_vae,
)
from _serving import (
    until as wait_for,
)
from playwright.sync_api import Page, expect

import rondel


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A quick model, one that takes its time, and a sentence VAE."""
    home = tmp_path_factory.mktemp("served")
    return {
        "tiny": write_language_model(home / "tiny"),
        "slow": write_language_model(home / "slow", hidden=768),
        "walker": write_sentence_vae(home / "walker"),
    }


@pytest.fixture(scope="module")
def server(folders: dict[str, Path]) -> Iterator[Server]:
    with serving(*folders.values()) as started:
        yield started


@pytest.fixture
def open_page(new_page: Callable[..., Page], server: Server) -> Callable[..., Page]:
    def opened(address: str = "", at: Server = server, **options: object) -> Page:
        page = new_page(**options)
        page.goto(f"{at.url}/{address}")
        page.wait_for_selector("body[data-ready]")
        return page

    return opened


def test_what_is_written_is_the_models_text_for_that_seed(
    open_page: Callable[..., Page], folders: dict[str, Path]
) -> None:
    page = open_page()
    page.fill("#prime", "Once ")
    page.fill("#length", "80")
    page.fill("#seed", "4")
    page.locator("#rule-temperature").fill("0.7")
    page.click("#write")
    expect(page.locator("#status")).to_have_text(WRITTEN)
    model = rondel.load(folders["tiny"])
    assert written(page) == model.sample("Once ", length=80, seed=4, temperature=0.7)
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


def test_text_streams_and_stops(open_page: Callable[..., Page], folders: dict[str, Path]) -> None:
    with serving(folders["slow"], *LET_ENDLESS) as server:
        page = open_page(f"#prime=Once&length={ENDLESS}", at=server)
        page.click("#write")
        until(page, "document.getElementById('paper').textContent.length > 40")
        first = len(written(page))
        until(page, f"document.getElementById('paper').textContent.length > {first}")
        expect(page.locator("#stop")).to_be_enabled()
        page.click("#stop")
        expect(page.locator("#status")).to_have_text(re.compile("Stopped"))
        kept = written(page)
        assert len(kept) > first
        wait_for(lambda: server.under_way == 0)
        assert written(page) == kept


def test_pointing_tells_how_likely_and_what_else(
    open_page: Callable[..., Page], folders: dict[str, Path]
) -> None:
    page = open_page("#prime=Once&seed=2&length=30")
    page.click("#write")
    expect(page.locator("#status")).to_have_text(WRITTEN)
    page.hover("[data-n='9']")
    here = page.inner_text("#here")
    character = written(page)[9]
    assert character in here or "␣" in here
    likely = float(re.findall(r"([\d.]+) % likely", here)[0])
    model = rondel.load(folders["tiny"])
    table = model.score(written(page), unit="nats", start="skip")
    assert likely == pytest.approx(100 * 2.718281828 ** -table["surprisal_nats"][9], abs=0.6)
    assert page.locator("#here li").count() in (5, 6)
    page.hover("[data-n='2']")
    assert "of what you gave" in page.inner_text("#here")


def test_the_text_is_coloured_by_surprisal_and_by_units(open_page: Callable[..., Page]) -> None:
    page = open_page("#prime=Once&seed=2&length=30")
    page.click("#write")
    expect(page.locator("#status")).to_have_text(WRITTEN)
    colours = "[...document.querySelectorAll('#paper span')].map(span => span.style.background)"
    assert not any(page.evaluate(colours))
    page.select_option("#colour", "surprisal")
    surprisal = page.evaluate(colours)
    assert surprisal[0] == ""
    assert len(set(surprisal[1:])) > 5
    page.select_option("#colour", "unit")
    page.select_option("#layer", "2")
    page.fill("#unit", "7")
    until(page, f"{colours}[0] !== ''")
    units = page.evaluate(colours)
    assert len(set(units)) > 5
    page.hover("[data-n='9']")
    assert "unit 2:7:" in page.inner_text("#here")
    page.select_option("#colour", "")
    assert not any(page.evaluate(colours))


def test_a_link_brings_all_settings_and_the_same_text(open_page: Callable[..., Page]) -> None:
    page = open_page("#model=slow&prime=a%20%26%20b&length=40&temperature=0.55&top_k=7&until=Q")
    page.click("#write")
    expect(page.locator("#status")).to_have_text(WRITTEN)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#link")
    expect(page.locator("#status")).to_have_text("Link copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    other = open_page(link.partition("/")[2].partition("/")[2].partition("/")[2])
    assert other.input_value("#prime") == "a & b"
    assert other.input_value("#rule-temperature") == "0.55"
    assert other.input_value("#rule-top_k") == "7"
    other.click("#write")
    expect(other.locator("#status")).to_have_text(WRITTEN)
    assert written(other) == written(page)


def test_all_is_done_by_keyboard(open_page: Callable[..., Page]) -> None:
    page = open_page("#length=25&seed=1")
    page.focus("#prime")
    page.keyboard.type("Once")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#status")).to_have_text(WRITTEN)
    page.focus("#paper")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.locator("#paper .here").get_attribute("data-n") == "2"
    page.keyboard.press("End")
    assert page.locator("#paper .here").get_attribute("data-n") == "28"
    assert "likely" in page.inner_text("#here")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page("#prime=Once&length=400", viewport=PHONE, color_scheme=scheme, has_touch=True)
    page.tap("#write")
    expect(page.locator("#status")).to_have_text(WRITTEN)
    page.tap("[data-n='9']")
    assert "likely" in page.inner_text("#here")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == {"light": "rgb(251, 250, 247)", "dark": "rgb(23, 24, 26)"}[scheme]
    page.tap("#theme")
    page.tap("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(251, 250, 247)"


def test_a_server_that_dies_is_told_of_and_the_text_stays(
    open_page: Callable[..., Page], folders: dict[str, Path]
) -> None:
    with serving(folders["slow"], *LET_ENDLESS) as server:
        page = open_page(f"#prime=Once&length={ENDLESS}", at=server)
        page.click("#write")
        until(page, "document.getElementById('paper').textContent.length > 40")
        server.process.send_signal(signal.SIGKILL)
        expect(page.locator("#status")).to_have_text(re.compile("connection broke off"))
        kept = written(page)
        assert len(kept) > 40
        page.click("#more")
        expect(page.locator("#status")).to_have_text(re.compile("cannot be reached"))
        assert written(page) == kept
        page.complaints.clear()  # type: ignore[attr-defined]


def test_a_busy_server_says_when_to_come_again(
    open_page: Callable[..., Page], folders: dict[str, Path]
) -> None:
    with (
        serving(folders["slow"], "--batch-size", 1, "--max-queue", 0, *LET_ENDLESS) as server,
        server.writing(),
    ):
        page = open_page("#prime=Once", at=server)
        page.click("#write")
        expect(page.locator("#status")).to_have_text(
            re.compile(r"The server is busy\. Try again in \d+ s\.")
        )
        page.complaints.clear()  # type: ignore[attr-defined]


def test_a_key_is_asked_for_and_used(
    new_page: Callable[..., Page], folders: dict[str, Path]
) -> None:
    with serving(folders["tiny"], environment={"RONDEL_API_KEY": "sesame"}) as server:
        page = new_page()
        page.goto(f"{server.url}/#prime=Once&length=20")
        page.fill("#key-field", "sesame")
        page.keyboard.press("Enter")
        page.wait_for_selector("body[data-ready]")
        page.click("#write")
        expect(page.locator("#status")).to_have_text(WRITTEN)
        page.complaints.clear()  # type: ignore[attr-defined]


def test_what_the_server_refuses_is_told(open_page: Callable[..., Page]) -> None:
    page = open_page("#prime=Once")
    page.fill("#rule-repetition_penalty", "-3")
    page.click("#write")
    expect(page.locator("#status")).to_have_text(re.compile("epetition_penalty"))
    page.complaints.clear()  # type: ignore[attr-defined]


def test_sentences_are_made_up_written_back_and_walked_between(
    open_page: Callable[..., Page], folders: dict[str, Path]
) -> None:
    page = open_page("#model=walker&seed=3")
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


def test_the_page_of_the_interface_lists_it(new_page: Callable[..., Page], server: Server) -> None:
    page = new_page()
    page.goto(f"{server.url}/docs")
    page.wait_for_selector("body[data-ready]")
    told = page.inner_text("#paths")
    for name in ("/v1/completions", "/v1/score", "max_tokens", "temperature", "sample_mode"):
        assert name in told


def test_a_long_text_is_only_added_to(open_page: Callable[..., Page]) -> None:
    page = open_page("#prime=Once&length=3000")
    page.click("#write")
    until(page, "document.querySelectorAll('#paper span').length > 100")
    page.evaluate("window.one = document.querySelectorAll('#paper span')[50]")
    expect(page.locator("#status")).to_have_text(WRITTEN)
    assert page.locator("#paper span").count() == 3004
    assert page.evaluate("one.isConnected")


@pytest.mark.parametrize(
    "address",
    [
        "constructor=x",
        "__proto__=x&toString=1&hasOwnProperty=x&valueOf&standard=x",
        "model=nothing&mode=beam&colour=red&length=many&seed=-&temperature=warm&prime=%FF%00",
        "colour=unit&model=constructor&top_k=__proto__",
        "%&%E0%A4%A&===&&&#?/",
        "x=" + "y" * 100_000,
    ],
)
def test_whatever_an_address_says_is_data(open_page: Callable[..., Page], address: str) -> None:
    page = open_page(f"#{address}&length=5")
    page.click("#write")
    expect(page.locator("#status")).to_have_text(WRITTEN)
