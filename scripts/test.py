"""Pass every check: lint, format, types, imports, the generated docs, tests, the example plugin.

Sets up `.venv` first, and on Debian, as root, Chromium, which the tests of pages drive. Elsewhere
that has to be there already. Arguments go to pytest.
"""

from __future__ import annotations

import os
import shutil
import sys

from _environment import ENVIRONMENT, ROOT, prepare, program, run

PLUGIN, PLACE = ROOT / "examples" / "plugin", ENVIRONMENT / "plugin"
# The files of tests shared out over the cores, those of few long tests not last.
EACH_CORE = ("-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    prepare("dev")
    prepare_browser()
    run(program("ruff"), "check", cwd=ROOT)
    run(program("ruff"), "format", "--check", cwd=ROOT)
    run(program("mypy"), cwd=ROOT)
    run(program("lint-imports"), "--no-logo", cwd=ROOT)
    run(program("python"), "scripts/cli_reference.py", "--check", cwd=ROOT)
    run(program("python"), "-m", "pytest", *(sys.argv[1:] or EACH_CORE), cwd=ROOT)
    if not sys.argv[1:]:
        check_plugin()


def check_plugin() -> None:
    """Hold what the example plugin adds to the conformance suites, and to its own tests.

    It is installed where nothing else looks, so that all else is tested without it.
    """
    pip = (program("python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    # Built with what the environment has: nothing is downloaded.
    options = ("--no-deps", "--no-build-isolation", "--upgrade", "--target", PLACE)
    run(*pip, *options, PLUGIN, cwd=ROOT)
    tests = (*EACH_CORE, "tests/conformance", PLUGIN / "tests", "-k", "example")
    run(program("python"), "-m", "pytest", *tests, cwd=ROOT, environment={"PYTHONPATH": str(PLACE)})


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
