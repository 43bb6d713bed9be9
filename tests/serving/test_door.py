"""Who is let in, and what by: hosts, keys, methods, addresses and times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from _runs import rondel
from _serving import PATIENCE, Server, serving, until

from rondel.cli import cli
from rondel.cli.serve import Seconds
from rondel.errors import InputError
from rondel.serving.service_settings import ServiceSettings

OPEN = {"/healthz", "/readyz"}
"""Of the interface, what needs no key."""
HOSTILE_HOSTS = ["x/healthz?", "x/page/", "x/docs#", "x/?", "healthz", "u@x/readyz", "x:1/healthz?"]


@pytest.fixture(scope="module")
def locked(tiny: Path) -> Iterator[Server]:
    with serving(tiny, environment={"RONDEL_API_KEY": "sesame"}) as started:
        yield started


def operations(server: Server) -> list[tuple[str, str]]:
    """Every method and path of the interface."""
    paths = server.get("/openapi.json").json()["paths"]
    return [(m.upper(), p.replace("{name}", "tiny")) for p, found in paths.items() for m in found]


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
def test_a_key_is_asked_for_whatever_host_a_client_claims_to_ask(locked: Server, host: str) -> None:
    for method, path in operations(locked):
        for asked in (method, "HEAD"):
            answer = httpx.request(
                asked, locked.url + path, headers={"host": host}, timeout=PATIENCE
            )
            assert answer.status_code == (401 if path not in OPEN else 200), (asked, path)


@pytest.mark.parametrize("path", ["/healthz/../v1/models", "/page/../v1/models", "//v1/models"])
def test_a_path_gets_past_the_key_in_no_other_spelling(locked: Server, path: str) -> None:
    with httpx.Client(base_url=locked.url, timeout=PATIENCE) as client:
        request = client.build_request("GET", "/")
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = client.send(request)
    assert answer.status_code in (401, 404)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:8080", "[::1]"])
def test_a_server_for_this_machine_answers_to_its_names(server: Server, host: str) -> None:
    assert server.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", [*HOSTILE_HOSTS, "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80"]
)
def test_a_page_that_rebinds_its_name_reads_nothing(server: Server, host: str) -> None:
    for method, path in [*operations(server), ("GET", "/page/page.js"), ("GET", "/docs")]:
        answer = httpx.request(method, server.url + path, headers={"host": host}, timeout=PATIENCE)
        assert answer.status_code == 403, path
        assert answer.json()["error"]["code"] == "unknown_host"
        assert "--allow-host" in answer.json()["error"]["message"]


def test_names_that_are_meant_are_given(tiny: Path) -> None:
    with serving(tiny, "--allow-host", "Poems.example", "--allow-host", "two.example") as server:
        for host in ("poems.example", "poems.example.:443", "TWO.example", "localhost"):
            assert server.get("/healthz", headers={"host": host}).status_code == 200
        assert server.get("/healthz", headers={"host": "three.example"}).status_code == 403


def test_hosts_are_checked_where_nothing_else_is() -> None:
    def hosts(key: bool, **settings: Any) -> frozenset[str]:
        return ServiceSettings((), **settings).hosts(with_key=key)

    assert hosts(False) == {"localhost", "127.0.0.1", "::1"}
    assert hosts(True) == frozenset()
    assert hosts(False, local=False, host="0.0.0.0") == frozenset()
    for key in (True, False):
        assert "a.example" in hosts(key, local=False, allowed_hosts=("A.example.",))


def test_head_answers_like_get_and_without_a_body(server: Server) -> None:
    for method, path in [*operations(server), ("GET", "/docs"), ("GET", "/page/page.js")]:
        if method == "GET":
            got = server.get(path, params={"n": 2} if path == "/" else None)
            head = httpx.head(got.url, timeout=PATIENCE)
            assert (head.status_code, head.content) == (got.status_code, b"")
            assert head.headers["content-type"] == got.headers["content-type"]
    for path, status in (("/v1/score", 405), ("/nowhere", 404)):
        assert httpx.head(server.url + path, timeout=PATIENCE).status_code == status
    until(lambda: server.under_way == 0)


def test_no_redirection_names_a_host(server: Server) -> None:
    for path in ("/healthz/", "/v1/models/", "/page"):
        assert not server.get(path).has_redirect_location


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no key"),
        (b" \n\t\n", "holds no key"),
        (b"one\ntwo\n", "several lines"),
        ("one\u2028two".encode(), "several lines"),
        ("sesame".encode("utf-16"), "not UTF-8"),
        ("sesame".encode("utf-16-le"), "cannot be printed"),
        (b"ses\x00ame", "cannot be printed"),
        (b"ses\xffame", "not UTF-8"),
        (b"k" * 5_000, "more than 4,096"),
    ],
)
def test_a_file_that_is_no_key_is_refused(
    tiny: Path, tmp_path: Path, content: bytes, told: str
) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(InputError, match=told):
        rondel("serve", tiny, "--api-key", tmp_path / "key")


@pytest.mark.parametrize("value", ["two\nlines", "\u0001", "bad\udcff"])
def test_a_key_of_the_environment_is_checked_as_well(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("RONDEL_API_KEY", value)
    with pytest.raises(InputError, match="RONDEL_API_KEY"):
        rondel("serve", tiny)


@pytest.mark.parametrize("given", ["nan", "inf", "-inf", "-1", "1e400", "soon", "1e7"])
def test_times_are_numbers_that_end(given: str) -> None:
    for min_open in (True, False):
        with pytest.raises(click.BadParameter):
            Seconds(min_open=min_open).convert(given, None, None)


@pytest.mark.parametrize(
    ("flag", "given"),
    [
        *(("--allow-host", name) for name in ("", "http://x", "*", "x:8940", "a b")),
        *(
            ("--cors-origin", origin)
            for origin in ("", "foo", "https://", "https://a/b", "ftp://a")
        ),
    ],
)
def test_hosts_and_origins_are_of_their_form(tiny: Path, flag: str, given: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a"):
        cli.main(["serve", str(tiny), flag, given], standalone_mode=False)


def test_a_name_that_cannot_stand_in_an_address_is_refused(tiny: Path) -> None:
    with pytest.raises(InputError, match="remove the / from 'a/b'"):
        rondel("serve", f"a/b={tiny}")


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "\udcff", "a..b", "\u2024" * 300, ""])
def test_an_address_that_is_none_is_told_in_one_line(tiny: Path, host: str) -> None:
    with pytest.raises(InputError, match="cannot listen at") as refused:
        rondel("serve", tiny, "--host", host)
    assert "\n" not in str(refused.value)
