"""Output of commands: exact bytes to files and pipes, and a message about all that is lost."""

from __future__ import annotations

import errno
import io
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from _runs import train

import rondel as package
from rondel.cli import cli
from rondel.cli.commands import summaries
from rondel.cli.printing import LOGS

TEXT = ("Über café — naïve œuvre “quoted” " * 40 + "\n") * 6
WRITING = {
    "sample": ("-n", "30", "--seed", "1", "--prime", "œuvre “"),
    "score": ("{text}", "--worst", "2", "--quiet"),
    "inspect": ("{text}", "--unit", "1:1"),
    "compare": ("--on", "{text}", "--no-baseline"),
    "show": (),
    "eval": ("{text}",),
}
"""Commands that print results of a language model, and their other arguments."""


@pytest.fixture(scope="module")
def french(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    (folder / "œuvre.txt").write_text(TEXT[:300], encoding="utf-8")
    train(folder / "œuvre", TEXT, steps=2, eval_every=2, validation_fraction=0)
    return folder


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = (b"\xff\xe9t\xe9 \x80abc" * 300).decode("utf-8", "surrogateescape")
    folder = tmp_path_factory.mktemp("bytes") / "run"
    train(folder, text, level="byte", steps=2, eval_every=2, validation_fraction=0)
    return folder


def run(name: str, folder: Path) -> None:
    text = str(folder / "œuvre.txt")
    flags = [flag.format(text=text) for flag in WRITING[name]]
    cli.main([name, str(folder / "œuvre"), *flags], standalone_mode=False)


@pytest.mark.parametrize("name", WRITING)
def test_files_and_pipes_get_utf_8_in_any_locale(
    name: str, french: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {}
    for encoding in ("utf-8", "latin-1", "ascii"):
        out = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding, "strict"))
        run(name, french)
        sys.stdout.flush()
        written[encoding] = out.getvalue()
    assert written["latin-1"] == written["ascii"] == written["utf-8"]
    assert written["utf-8"].decode()
    if name != "eval":
        assert "œuvre" in written["utf-8"].decode().replace("\n", "")


@pytest.mark.parametrize(
    "arguments",
    [("corpora",), ("--help",), ("--version",), *((name, "--help") for name in summaries())],
    ids=" ".join,
)
def test_a_closed_standard_output_is_an_error_for_commands_that_print(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    if arguments[0] in LOGS:
        cli.main(list(arguments), standalone_mode=False)
        return
    with pytest.raises(OSError, match="standard output is closed") as caught:
        cli.main(list(arguments), standalone_mode=False)
    assert caught.value.errno == errno.EBADF


@pytest.mark.parametrize("name", WRITING)
def test_a_closed_standard_output_is_an_error_for_finds(
    name: str, french: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OSError, match="standard output is closed"):
        run(name, french)


def test_a_process_reports_it_in_one_line_and_writes_into_no_file(trained: Path) -> None:
    command = f'"{sys.executable}" -m rondel sample "{trained}" -n 3 >&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "rondel: standard output is closed; send it to a file, or to /dev/null\n"
    )


def test_bytes_are_written_as_they_were_read(
    of_bytes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, "ascii", "strict"))
    flags = ["-n", "200", "--seed", "2", "--prime", "caf\udcc3", "--temperature", "3"]
    cli.main(["sample", str(of_bytes), *flags], standalone_mode=False)
    model = package.load(of_bytes)
    text = model.sample("caf\udcc3", length=200, seed=2, temperature=3)
    expected = text.encode("utf-8", "surrogateescape")
    assert out.getvalue() == expected + b"\n"
    # One byte a token, and the prime's not twice where the first one would complete it.
    assert len(expected) == 4 + 200
    with pytest.raises(UnicodeDecodeError):
        expected.decode()
    assert (
        model.tokenizer.decode(model.tokenizer.encode(text)).encode("utf-8", "surrogateescape")
        == expected
    )


def test_what_a_terminals_encoding_lacks_is_reported(french: Path) -> None:
    ours, terminal = pty.openpty()
    shown = bytearray()

    def read() -> None:
        try:
            while piece := os.read(ours, 4096):
                shown.extend(piece)
        except OSError:  # what a terminal gives at its end
            pass

    reader = threading.Thread(target=read)
    reader.start()
    command = [sys.executable, "-m", "rondel", "sample", str(french / "œuvre"), "-n", "1"]
    command += ["--seed", "1", "--prime", "é œ“"]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    try:
        done = subprocess.run(command, stdout=terminal, stderr=subprocess.PIPE, env=environment)
    finally:
        os.close(terminal)
        reader.join()
        os.close(ours)
    assert done.returncode == 0
    assert "é ??".encode("latin-1") in bytes(shown)
    stderr = done.stderr.decode()
    assert "this terminal's encoding is iso8859-1 and cannot show 'œ' '“'" in stderr
    assert "output to a file or a pipe is exact" in stderr
