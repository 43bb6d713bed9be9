"""The checkout's own virtual environment, set up when it is first needed.

Standard library only: this runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv"
PROGRAMS, SUFFIX = ("Scripts", ".exe") if os.name == "nt" else ("bin", "")
# Says which extra was installed, and from which versions of the files that decide what that is.
MARKER = ENVIRONMENT / ".installed"
OLDEST_PYTHON = (3, 10)


def prepare(extra: str) -> None:
    """Have rondel and an extra of it installed, at the pinned versions, in `.venv`.

    The package is installed in place, so that a change to it needs no new installation.
    """
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"rondel needs Python 3.10 or newer, and this is Python {found}")
    _make_environment()
    if _is_installed(extra):
        return
    MARKER.unlink(missing_ok=True)
    python, constraints = program("python"), ROOT / "constraints.txt"
    # Not compiled: most of it is never imported, and what is, is compiled then.
    options = ("--no-compile", "-c", constraints)
    run(python, "-m", "pip", "install", *options, "-e", f".[{extra}]", cwd=ROOT)
    MARKER.write_text(f"{extra} {_fingerprint()}\n", encoding="utf-8")


def program(name: str) -> Path:
    """The path of a program of the environment."""
    return ENVIRONMENT / PROGRAMS / (name + SUFFIX)


def run(
    *command: str | Path, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> None:
    """Show a command and run it; if it fails, end with its exit status.

    `environment` are variables beside those that there are. Python keeps what it compiles: the
    tests start it hundreds of times.
    """
    words = [str(word) for word in command]
    print("$", shlex.join(_short(word) for word in words), flush=True)
    variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(environment or {})}
    with subprocess.Popen(words, cwd=cwd, env=variables) as child:
        status = _wait(child)
    if status != 0:
        # A signal's number is negative; a shell reports it as 128 and the number.
        sys.exit(status if status > 0 else 128 - status)


def _wait(child: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            # The child was interrupted as well, and may have something to save first.
            continue


def _short(word: str) -> str:
    path = Path(word)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else word


def _make_environment() -> None:
    python = program("python")
    try:
        made = subprocess.run([python, "-c", "import pip"], capture_output=True).returncode == 0
        options: list[str] = []
    except OSError:
        # Nothing there, or what is left of an environment whose Python is gone.
        made, options = False, ["--clear"]
    if not made:
        run(sys.executable, "-m", "venv", *options, ENVIRONMENT)


def _is_installed(extra: str) -> bool:
    try:
        installed, fingerprint = MARKER.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return False
    # The extra dev brings the others with it.
    return installed in (extra, "dev") and fingerprint == _fingerprint()


def _fingerprint() -> str:
    total = hashlib.sha256(os.fsencode(ROOT))
    for file in (ROOT / "pyproject.toml", ROOT / "constraints.txt", ENVIRONMENT / "pyvenv.cfg"):
        total.update(file.read_bytes())
    return total.hexdigest()
