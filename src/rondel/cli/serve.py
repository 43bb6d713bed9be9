"""`rondel serve`: serve models over HTTP, with a web page for writing."""

from __future__ import annotations

import ipaddress
import math
import os
import re
from pathlib import Path
from typing import Any

import click

from rondel.cli.options import SectionedCommand
from rondel.engine import PRECISIONS
from rondel.errors import InputError, require
from rondel.threads import MOST_THREADS

KEY = "RONDEL_API_KEY"
LONGEST_SECONDS, LONGEST_KEY = 1_000_000, 4_096


class Seconds(click.FloatRange):
    """A time of 0 or more seconds; refuses NaN, which Click accepts in any range."""

    def __init__(self, *, min_open: bool = False) -> None:
        super().__init__(0, LONGEST_SECONDS, min_open=min_open)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Convert a flag's value; a usage error if it is not a time."""
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a time in seconds.", param, ctx)
        return seconds


class Matching(click.types.StringParamType):
    """A text that must match a pattern; `example` describes it in the error message."""

    name = "text"

    def __init__(self, pattern: str, example: str) -> None:
        self.pattern, self.example = pattern, example

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check a flag's value; a usage error if it does not match."""
        if not re.fullmatch(self.pattern, value):
            self.fail(f"{value!r} is not {self.example}.", param, ctx)
        return value


@click.command(cls=SectionedCommand)
@click.argument("models", nargs=-1, required=True, metavar="MODEL [MODEL …]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port to listen on; 0 for a free one.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that share the port; each loads all models.",
)
@click.option(
    "--api-key",
    "key_source",
    metavar="SOURCE",
    help="Require a key: read from a file, or from the environment variable NAME with env:NAME.  "
    f"[default: env:{KEY}, if it is set]",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    type=Matching(r"https?://[^/\s]+|\*", "an origin, as in https://poems.example:8080"),
    multiple=True,
    metavar="ORIGIN",
    help="Allow pages of this origin to call the service; may be given several times.",
)
@click.option(
    "--allow-host",
    "allowed_hosts",
    type=Matching(r"[\w.-]+|\[[0-9a-fA-F:.]+\]", "a host name without a port, as in poems.example"),
    multiple=True,
    metavar="NAME",
    help="Also accept this host name. Host names are checked without a key on a local address, or "
    "if this is given; may be given several times.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, 1024),
    default=64,
    show_default=True,
    help="Texts that a model generates at a time.",
)
@click.option(
    "--prefix-cache",
    type=click.IntRange(0),
    default=64,
    show_default=True,
    metavar="MB",
    help="Memory for states after prompts and texts, of each model and worker: a prompt that "
    "begins as one of them is not read again up to there.",
)
@click.option(
    "--max-queue",
    type=click.IntRange(0),
    default=256,
    show_default=True,
    help="Texts that may wait for a model; more are answered with 429.",
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1),
    default=20_000,
    show_default=True,
    help="Most tokens of one request, over all its texts.",
)
@click.option(
    "--max-body",
    type=click.IntRange(1),
    default=1_000_000,
    show_default=True,
    metavar="BYTES",
    help="Largest body of a request.",
)
@click.option(
    "--request-seconds",
    type=Seconds(min_open=True),
    default=120.0,
    show_default=True,
    help="Time after which a text is cut off.",
)
@click.option(
    "--drain-seconds",
    type=Seconds(),
    default=30.0,
    show_default=True,
    help="How long requests may continue after SIGTERM or Ctrl-C.",
)
@click.option("--log-prompts", is_flag=True, help="Include prompts in the log.")
@click.option(
    "--precision",
    type=click.Choice(list(PRECISIONS)),
    default="fp32",
    show_default=True,
    help="; ".join(f"{name}: {meaning}" for name, meaning in PRECISIONS.items()),
)
@click.option(
    "--threads",
    type=click.IntRange(1, MOST_THREADS),
    help="CPU threads per worker.  [default: the processors, divided among the workers]",
)
def command(
    models: tuple[str, ...], host: str, port: int, key_source: str | None, **options: Any
) -> None:
    """Serve the models in the folders MODEL over HTTP, with a web page for writing at /.

    A model has its folder's name, or NAME if given as NAME=FOLDER. Provides the interfaces of
    OpenAI's completions and of char-rnn's web services, scores, traces and metrics, listed at
    /docs.
    """
    require("uvicorn", "serve")
    require("fastapi", "serve")
    require("prometheus_client", "serve")
    from rondel.cli.compile_notice import announce_compiling
    from rondel.serving import server
    from rondel.serving.service_settings import ServiceSettings

    key = _api_key(key_source)
    served = tuple(_models_by_name(models).items())
    announce_compiling()
    listening = server.listen(host, port)
    local = ipaddress.ip_address(listening.getsockname()[0]).is_loopback
    settings = ServiceSettings(models=served, host=host, port=port, local=local, **options)
    host_in_url = f"[{host}]" if ":" in host else host
    address = f"http://{host_in_url}:{listening.getsockname()[1]}"

    def ready() -> None:
        click.echo(f"rondel: serving {', '.join(dict(served))} at {address}", err=True)
        if not key and not settings.local:
            click.echo(
                "rondel: anyone who can reach this address can use it: see --api-key", err=True
            )

    with listening:
        server.run(settings, listening, key, ready)


def _models_by_name(models: tuple[str, ...]) -> dict[str, str]:
    """The models' folders by name. Raises `InputError` if two models have the same name."""
    found: dict[str, str] = {}
    for given in models:
        name, _, folder = given.rpartition("=") if not Path(given).exists() else ("", "", given)
        name = name or _name_of(Path(folder))
        if "/" in name:
            raise InputError(f"a model's name is part of URLs: remove the / from {name!r}")
        if name in found:
            raise InputError(f"two models are called {name!r}: name one, as in other={folder}")
        found[name] = folder
    return found


def _name_of(folder: Path) -> str:
    """A folder's name; for `best` and `last` in a run's folder, the run's name."""
    path = folder.resolve()
    return path.parent.name if path.name in ("best", "last") else path.name


def _api_key(source: str | None) -> str:
    """The API key, stripped; empty if none is required.

    Raises `InputError` if the given source has no key, or an invalid one.
    """
    if source is None:
        return _check_key(os.environ.get(KEY, ""), f"the environment variable {KEY}")
    if source.startswith("env:"):
        name = source.removeprefix("env:")
        where = f"the environment variable {name}"
        key = _check_key(os.environ.get(name, ""), where)
    else:
        where = f"the file {source}"
        key = _check_key(_read_key(Path(source)), where)
    if not key:
        raise InputError(f"--api-key: {where} holds no key")
    return key


def _read_key(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"--api-key: there is no file {path}; give one, or env:NAME")
    try:
        with path.open("rb") as file:
            return file.read(LONGEST_KEY + 1).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            f"--api-key: the file {path} is not UTF-8; save the key as plain text"
        ) from None
    except OSError as error:
        raise InputError(f"--api-key: cannot read {path}: {error.strerror}") from None


def _check_key(given: str, where: str) -> str:
    """The key, stripped. Raises `InputError` if it cannot be sent in a header."""
    key = given.strip()
    if len(key.splitlines()) > 1:
        raise InputError(f"--api-key: {where} has several lines; a key is one line")
    if len(key) > LONGEST_KEY:
        raise InputError(f"--api-key: {where} holds more than {LONGEST_KEY:,} characters")
    if not all(character.isprintable() for character in key):
        raise InputError(
            f"--api-key: {where} holds characters that cannot be printed; save the key as plain "
            "text, in UTF-8"
        )
    return key
