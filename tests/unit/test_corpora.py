"""Corpora: what is always here, what is downloaded, and every way in which that fails."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import socket
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path
from pydoc_data.topics import topics

import _http
import pytest
from click.testing import CliRunner

from rondel.cli.corpora import command
from rondel.errors import InputError
from rondel.text.corpora import base, corpora
from rondel.text.corpora.base import Download
from rondel.text.corpora.coffee import plural, read_grammar, whole_sentences, with_articles

BODY = ("It was a dark and stormy café.\n" * 2_000).encode()
TEXT = BODY.decode()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that corpora are kept in, which is not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RONDEL_CACHE", str(folder))
    monkeypatch.delenv("RONDEL_CORPORA_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    return folder


def storm(address: str = "http://127.0.0.1:9/storm.txt", body: bytes = BODY) -> Download:
    """A corpus whose file is `body`."""
    return Download(
        name="storm",
        description="a dark and stormy café",
        size=len(body),
        licence="public domain",
        address=address,
        sha256=hashlib.sha256(body).hexdigest(),
        file_name="storm.txt",
    )


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def refusal(corpus: Download) -> str:
    """The one line that fetching `corpus` is refused with; nothing may be left of it."""
    with pytest.raises(InputError) as caught:
        corpus.text()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_two_downloads_share_a_file(cache: Path) -> None:
    downloads = [corpus for corpus in corpora.values() if isinstance(corpus, Download)]
    assert len({corpus.file_name for corpus in downloads}) == len(downloads) >= 4
    assert len({corpus.sha256 for corpus in downloads}) == len(downloads)


def test_pydoc_is_the_prose_of_every_topic() -> None:
    text = corpora["pydoc"].text()
    assert text == "\n".join(text for _, text in sorted(topics.items()))
    assert corpora["pydoc"].text(500) == text[:500]


# --- downloads -----------------------------------------------------------------------------------


def test_a_download_is_fetched_once(cache: Path) -> None:
    with _http.serving({"/storm.txt": _http.whole(BODY)}) as (server, asked):
        corpus = storm(f"{server}/storm.txt")
        assert not corpus.is_here()
        assert corpus.text() == TEXT
        assert corpus.is_here()
        assert corpus.text(10) == TEXT[:10]
        assert asked == ["/storm.txt"]
    assert corpus.text() == TEXT
    assert files_in(cache) == ["storm.txt"]
    assert stat.S_IMODE((cache / "storm.txt").stat().st_mode) & 0o044 == 0o044


def test_a_damaged_copy_is_noticed_and_fetched_again(cache: Path) -> None:
    with _http.serving({"/storm.txt": _http.whole(BODY)}) as (server, asked):
        corpus = storm(f"{server}/storm.txt")
        corpus.fetch()
        corpus.path.write_bytes(BODY[:-1] + b"!")
        assert not corpus.is_here()
        assert corpus.text() == TEXT
        assert len(asked) == 2
    assert files_in(cache) == ["storm.txt"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_mirror_takes_the_place_of_the_address(
    cache: Path, monkeypatch: pytest.MonkeyPatch, slash: str
) -> None:
    with _http.serving({"/class/storm.txt": _http.whole(BODY)}) as (server, _):
        monkeypatch.setenv("RONDEL_CORPORA_MIRROR", f"{server}/class{slash}")
        assert storm().text() == TEXT


@pytest.mark.parametrize("mirror", ["/home/class", "file:///home/class", "http://[", "school.org"])
def test_a_mirror_that_is_no_address(
    cache: Path, monkeypatch: pytest.MonkeyPatch, mirror: str
) -> None:
    monkeypatch.setenv("RONDEL_CORPORA_MIRROR", mirror)
    assert "RONDEL_CORPORA_MIRROR must be an http or https address" in refusal(storm())


def test_something_else_is_thrown_away(cache: Path) -> None:
    with _http.serving({"/storm.txt": _http.whole(b"please log in")}) as (server, _):
        message = refusal(storm(f"{server}/storm.txt"))
    assert f"cannot fetch the corpus storm: what {server}/storm.txt sent is something" in message
    assert "SHA-256" in message
    assert files_in(cache) == []


@pytest.mark.parametrize("sent", [0, 1, 1_024, len(BODY) - 1])
def test_a_connection_cut_leaves_nothing(cache: Path, sent: int) -> None:
    with _http.serving({"/storm.txt": _http.cut(BODY, sent)}) as (server, _):
        message = refusal(storm(f"{server}/storm.txt"))
    assert "cannot fetch the corpus storm: the connection to 127.0.0.1" in message
    assert "was cut before the end; try again" in message
    assert files_in(cache) == []


def test_a_cut_leaves_the_copy_that_was_there(cache: Path) -> None:
    cache.mkdir()
    (cache / "storm.txt").write_text("an older edition")
    with _http.serving({"/storm.txt": _http.cut(BODY, 100)}) as (server, _):
        refusal(storm(f"{server}/storm.txt"))
    assert files_in(cache) == ["storm.txt"]
    assert (cache / "storm.txt").read_text() == "an older edition"


@pytest.mark.parametrize("sent", [0, 5_000])
def test_a_server_that_falls_silent(
    cache: Path, monkeypatch: pytest.MonkeyPatch, sent: int
) -> None:
    monkeypatch.setattr(base, "SECONDS_WITHOUT_AN_ANSWER", 0.2)
    with _http.serving({"/storm.txt": _http.stalled(BODY, sent, seconds=1)}) as (server, _):
        assert "127.0.0.1" in (message := refusal(storm(f"{server}/storm.txt")))
    assert "does not answer; check the network" in message
    assert files_in(cache) == []


def test_no_server_at_all(cache: Path) -> None:
    with socket.socket() as held:  # bound but not listening: nobody else can take the port
        held.bind(("127.0.0.1", 0))
        message = refusal(storm(f"http://127.0.0.1:{held.getsockname()[1]}/storm.txt"))
    assert "no connection to 127.0.0.1" in message
    assert "check the network, or set RONDEL_CORPORA_MIRROR" in message
    assert files_in(cache) == []


def test_no_such_host(cache: Path) -> None:
    message = refusal(storm("http://no-such-host.invalid/storm.txt"))
    assert "no connection to no-such-host.invalid; check the network" in message
    assert files_in(cache) == []


def test_not_found(cache: Path) -> None:
    with _http.serving({}) as (server, _):
        message = refusal(storm(f"{server}/storm.txt"))
    assert f"{server}/storm.txt answered 404 Not Found" in message
    assert files_in(cache) == []


def test_a_cache_folder_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "cache"):
        monkeypatch.setenv("RONDEL_CACHE", str(folder))
        with _http.serving({"/storm.txt": _http.whole(BODY)}) as (server, _):
            message = refusal(storm(f"{server}/storm.txt"))
        assert f"cannot keep the corpus storm in {folder}" in message
        assert "set RONDEL_CACHE to a folder you can write to" in message
    assert files_in(tmp_path) == ["file"]


def test_the_cache_is_the_users_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RONDEL_CACHE", raising=False)
    assert "rondel" in base.cache_folder().parts
    monkeypatch.setenv("RONDEL_CACHE", "~/corpora")
    assert base.cache_folder() == Path.home() / "corpora"


# --- coffee --------------------------------------------------------------------------------------


def test_coffee_is_the_same_on_every_python() -> None:
    text = corpora["coffee"].text(20_000, seed=3)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert digest == "da9e576749c4468ab5589d1ca3fd314fa1436345226a7b25cab0f1e478b5bd59"


@pytest.mark.parametrize("size", [1, 30, 500, 4_000, 70_000])
def test_coffee_of_any_size_is_whole_sentences(size: int) -> None:
    text = corpora["coffee"].text(size)
    assert text.endswith((".\n", "?\n", '."\n', '?"\n'))
    assert len(text) <= max(size, 200)
    assert len(text) > size - 400
    assert all(line.count('"') % 2 == 0 for line in text.splitlines())
    more = corpora["coffee"].text(3 * size)
    assert more.startswith(text[:-1])


def test_coffee_by_seed_and_by_default() -> None:
    coffee = corpora["coffee"]
    assert coffee.text(5_000, seed=1) == coffee.text(5_000)
    assert coffee.text(5_000, seed=2) != coffee.text(5_000, seed=1)
    assert 499_000 < len(coffee.text()) <= 500_000


def test_coffee_is_well_written() -> None:
    text = corpora["coffee"].text(600_000, seed=7)
    assert set(text) <= set(map(chr, range(32, 127))) | {"\n"}
    assert not re.findall(r"[{}|^()+]|//| {2}| [,.?!]|[,.] ?[,.]|\b(\w+) \1\b", text)
    assert not re.findall(r"[.?!] [a-z]", text)
    assert all(re.match('"?[A-Z0-9]', line) for line in text.splitlines() if line)
    paragraphs = text.split("\n\n")
    assert len(set(paragraphs)) > 0.99 * len(paragraphs)
    assert 150 < len(text) / len(paragraphs) < 400


def test_coffee_has_its_articles_right() -> None:
    text = corpora["coffee"].text(600_000, seed=7).lower()
    after = Counter(re.findall(r"\b(an?) (\w+)", text))
    consonants = {word for article, word in after if article == "a"}
    vowels = {word for article, word in after if article == "an"}
    assert {"hundred", "honey", "cup"} <= consonants
    assert {"hour", "honest", "uncertain", "umbrella", "espresso", "aeropress"} <= vowels
    assert not {word for word in consonants if word[0] in "aeiou"}
    assert not {word for word in vowels if word[0] not in "aeiou"} - {"hour", "honest"}


def test_coffee_agrees_in_number() -> None:
    text = corpora["coffee"].text(600_000, seed=7).lower()
    verbs = "deserve|need|demand|promise|forgive|want|require|reward"
    drinks = "espresso|cortado|latte|macchiato|lungo|mocha"
    claims = re.findall(rf"\b(?:{drinks})(s?) (?:{verbs})(s?)\b", text)
    assert set(claims) == {("s", ""), ("", "s")}


def test_plurals_and_articles() -> None:
    plurals = {
        "cup": "cups", "glass of cold brew": "glasses of cold brew", "box": "boxes",
        "cherry": "cherries", "tray": "trays", "bunch": "bunches", "half cup": "half cups",
    }  # fmt: skip
    assert {word: plural(word) for word in plurals} == plurals
    assert with_articles(
        "A hour, a oat cake; a Ugandan in a uniform, a honest one, a AeroPress"
    ) == ("An hour, an oat cake; a Ugandan in a uniform, an honest one, an AeroPress")
    assert with_articles("Is a cup a hat? Pa is.") == "Is a cup a hat? Pa is."


def test_the_grammar_is_rich_and_whole() -> None:
    rules, cast = read_grammar()
    known = {*rules, "A", "B", *(symbol for symbol in cast if symbol != "PERSON")}
    known |= {symbol + field for symbol in cast for member in cast[symbol] for field in member}
    known |= {role + field for role in "AB" for field in cast["PERSON"][0]}
    used = {"piece"}
    for alternatives in rules.values():
        for alternative in alternatives:
            used |= set(alternative[1::2])
    assert used <= known
    assert {symbol for symbol in rules if symbol not in used and symbol + "+s" not in used} == set()
    assert sum(map(len, rules.values())) > 1_000


def test_whole_sentences() -> None:
    text = 'One. "Two. Three," he said. Four'
    assert whole_sentences(text, 4) == "One."
    assert whole_sentences(text, 12) == "One."
    assert whole_sentences(text, 30) == 'One. "Two. Three," he said.'
    assert whole_sentences(text, 1) == "One."


# --- the command ---------------------------------------------------------------------------------


def run(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_list_is_plain_where_nobody_watches(cache: Path) -> None:
    rows = [line.split("\t") for line in run().splitlines()]
    assert [row[0] for row in rows] == list(corpora)
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["names"][:3] == ["228145", "MIT", "to fetch"]
    assert by_name["coffee"][:3] == ["any", "MIT", "here"]


def test_the_list_as_json(cache: Path) -> None:
    listed = {corpus["name"]: corpus for corpus in json.loads(run("--json"))}
    assert list(listed) == list(corpora)
    for name, corpus in corpora.items():
        assert listed[name]["sha256"] == corpus.sha256
        assert listed[name]["here"] == corpus.is_here()


def test_the_list_is_a_table_on_a_terminal(cache: Path) -> None:
    near, far = pty.openpty()
    code = "from rondel.cli.corpora import command; command()"
    subprocess.run([sys.executable, "-c", code], stdout=far, stdin=far, check=True, timeout=60)
    os.close(far)
    shown = os.read(near, 65_536).decode()
    os.close(near)
    assert "\t" not in shown
    assert all(name in shown for name in corpora)
    assert "1,115 kB" in shown


def test_print(cache: Path) -> None:
    assert run("--print", "coffee", "--size", "900", "--seed", "4") == (
        corpora["coffee"].text(900, seed=4)
    )
    assert run("--print", "pydoc") == corpora["pydoc"].text()


def test_fetch_over_the_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"emma\nolivia\n"
    with _http.serving({"/names.txt": _http.whole(body)}) as (server, asked):
        monkeypatch.setenv("RONDEL_CORPORA_MIRROR", server)
        with pytest.raises(InputError, match=r"cannot fetch the corpus names: what http.*names"):
            run("--fetch", "names")
        assert asked == ["/names.txt"]
    assert files_in(cache) == []
    assert run("--fetch", "coffee") == "coffee is here\n"


@pytest.mark.parametrize(
    "arguments",
    [["--json", "--fetch", "names"], ["--size", "9"], ["--seed", "1"], ["--print", "x", "--json"]],
)
def test_flags_that_do_not_go_together(arguments: list[str]) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert "--" in result.stderr


def test_an_unknown_corpus(cache: Path) -> None:
    with pytest.raises(InputError, match="no corpus is called 'tea'; there are: alice, coco"):
        run("--print", "tea")


def test_the_list_needs_no_heavy_import() -> None:
    code = (
        "import sys; from rondel.cli.corpora import command; import rondel.text.corpora as c; "
        "list(c.corpora); "
        "print(sorted({'numpy', 'pooch', 'requests', 'rich', 'torch'} & set(sys.modules)))"
    )
    run_ = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run_.stdout == "[]\n"
