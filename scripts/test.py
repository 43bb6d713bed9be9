"""Pass every check: lint, format, types, imports, the generated docs, tests.

Sets up `.venv` first, and on Debian, as root, Chromium, which the tests of pages drive. Elsewhere
that has to be there already. Arguments go to pytest.
"""

from __future__ import annotations

import os
import shutil
import sys

from _environment import ROOT, prepare, program, run

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    prepare("dev")
    prepare_browser()
    run(program("ruff"), "check", cwd=ROOT)
    run(program("ruff"), "format", "--check", cwd=ROOT)
    run(program("mypy"), cwd=ROOT)
    run(program("lint-imports"), "--no-logo", cwd=ROOT)
    run(program("python"), "scripts/cli_reference.py", "--check", cwd=ROOT)
    run(program("python"), "-m", "pytest", *sys.argv[1:], cwd=ROOT)


def prepare_browser() -> None:
    """Have a browser that the tests of pages can drive."""
    if any(map(shutil.which, BROWSERS)):
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        sys.exit(f"the tests of pages need a browser: install Chromium ({', '.join(BROWSERS)})")
    run("apt-get", "update")
    run("apt-get", "install", "-y", "--no-install-recommends", "chromium")


if __name__ == "__main__":
    main()
