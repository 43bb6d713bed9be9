"""The base classes of corpora: built-in ones, and downloads that are checked and cached."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rondel.errors import InputError
from rondel.text.reading import read_text

CACHE_VARIABLE = "RONDEL_CACHE"
"""Environment variable: the folder to keep downloaded corpora in."""

MIRROR_VARIABLE = "RONDEL_CORPORA_MIRROR"
"""Environment variable: an http(s) address below which the corpora's files are, by name."""

SECONDS_WITHOUT_AN_ANSWER = 20


@dataclass(frozen=True)
class Corpus(ABC):
    """A text that rondel knows by name.

    `size` is in bytes, or in words for a corpus of variable size; `address` and `sha256` are those
    of the file to download, `None` for a corpus that comes with rondel or with Python.
    """

    name: str
    description: str
    size: int | str
    licence: str
    address: str | None = None
    sha256: str | None = None

    @abstractmethod
    def is_here(self) -> bool:
        """Return whether `text` works without a network."""

    @abstractmethod
    def fetch(self) -> None:
        """Download the corpus, unless it is here. Raises `InputError` if that fails."""

    @abstractmethod
    def whole_text(self) -> str:
        """Return the whole text. Raises `InputError` if it cannot be downloaded."""

    def text(self, size: int | None = None, seed: int = 1) -> str:
        """Return the text, or its first `size` characters; `seed` is for randomly generated ones.

        Raises `InputError` if the corpus cannot be downloaded, or `size` is below 1.
        """
        check_size(size)
        return self.whole_text()[:size]


def check_size(size: int | None) -> None:
    """Raise `InputError` unless `size` is `None` or at least 1."""
    if size is not None and size < 1:
        raise InputError(f"the size of a corpus is at least 1 character, not {size}")


@dataclass(frozen=True)
class BuiltIn(Corpus):
    """A corpus that is always here."""

    def is_here(self) -> bool:
        """See `Corpus.is_here`."""
        return True

    def fetch(self) -> None:
        """Do nothing: it is always here."""


@dataclass(frozen=True, kw_only=True)
class Download(Corpus):
    """A corpus of one UTF-8 file, downloaded when it is first read and checked by its SHA-256.

    It is cached as `file_name` in the folder `RONDEL_CACHE`, by default the user's cache folder. A
    file with another checksum counts as missing, and is downloaded again.
    """

    size: int
    address: str
    sha256: str
    file_name: str

    @property
    def path(self) -> Path:
        """The path of the cached file."""
        return cache_folder() / self.file_name

    def is_here(self) -> bool:
        """See `Corpus.is_here`."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest() == self.sha256
        except OSError:
            return False

    def fetch(self) -> None:
        """See `Corpus.fetch`; nothing is left behind if it fails."""
        if self.is_here():
            return
        address = self._address()
        import pooch
        import requests

        pooch.get_logger().setLevel("ERROR")
        try:
            pooch.retrieve(
                address,
                known_hash=self.sha256,
                fname=self.file_name,
                path=self.path.parent,
                downloader=_download,
            )
            # Temporary files can be read only by their owner, but a cache may be shared.
            self.path.chmod(0o644)
        except requests.exceptions.RequestException as error:
            reason = _what_went_wrong(error, address)
            raise InputError(f"cannot fetch the corpus {self.name}: {reason}") from None
        except OSError as error:
            raise InputError(
                f"cannot keep the corpus {self.name} in {self.path.parent} "
                f"({error.strerror or error}); set {CACHE_VARIABLE} to a folder you can write to"
            ) from None
        except ValueError:
            raise InputError(
                f"cannot fetch the corpus {self.name}: what {address} sent is something else "
                f"(its SHA-256 is not {self.sha256[:12]}...) and was thrown away; try again, "
                f"or set {MIRROR_VARIABLE} to a place that has it"
            ) from None

    def whole_text(self) -> str:
        """See `Corpus.whole_text`; downloads it if it is not here."""
        self.fetch()
        return read_text([str(self.path)])

    def _address(self) -> str:
        mirror = os.environ.get(MIRROR_VARIABLE)
        if not mirror:
            return self.address
        try:
            is_valid = urlsplit(mirror).scheme in ("http", "https")
        except ValueError:
            is_valid = False
        if not is_valid:
            raise InputError(f"{MIRROR_VARIABLE} must be an http or https address, not {mirror!r}")
        return f"{mirror.rstrip('/')}/{self.file_name}"


def cache_folder() -> Path:
    """Return the folder of downloaded corpora; it may not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("rondel"))


def _download(address: str, path: str, _: object) -> None:
    """Download `address` to `path`, and close the connection, which pooch's downloader does not."""
    import requests

    with requests.get(address, stream=True, timeout=SECONDS_WITHOUT_AN_ANSWER) as response:
        response.raise_for_status()
        with Path(path).open("wb") as file:
            file.writelines(response.iter_content(65_536))


def _what_went_wrong(error: Exception, address: str) -> str:
    """Describe an error of requests in one line: what happened, and what to do about it."""
    from requests import exceptions

    host = urlsplit(address).netloc
    elsewhere = f"or set {MIRROR_VARIABLE} to a place that has it"
    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        status = f"{error.response.status_code} {error.response.reason}".strip()
        return f"{address} answered {status}; try again later, {elsewhere}"
    if isinstance(error, exceptions.Timeout) or "timed out" in str(error):
        return f"{host} does not answer; check the network, {elsewhere}"
    if isinstance(error, exceptions.ChunkedEncodingError):
        return f"the connection to {host} was cut before the end; try again, {elsewhere}"
    if isinstance(error, exceptions.ConnectionError):
        return f"no connection to {host}; check the network, {elsewhere}"
    return f"{address} cannot be read ({type(error).__name__}); check it, {elsewhere}"
