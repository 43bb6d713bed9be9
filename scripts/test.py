"""Pass every check: lint, format, types, imports, what is generated, tests, the example plugin.

Sets up `.venv` first, and on Debian, as root, Chromium, which the tests of pages drive. Elsewhere
that has to be there already. Arguments go to pytest.
"""

from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

from _environment import ENVIRONMENT, ROOT, prepare, program, run

PLUGIN, PLACE = ROOT / "examples" / "plugin", ENVIRONMENT / "plugin"
# The files of tests shared out, those of few long tests not last. Many wait for a server or another
# process: one worker more than there are cores.
CORES, WORKERS = (str((os.cpu_count() or 1) + more) for more in (0, 1))
SHARED_OUT = ("-n", WORKERS, "--dist", "loadfile", "--no-loadscope-reorder")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    # The browser's download takes as long as the checks before the tests.
    with ThreadPoolExecutor(1) as beside:
        browser = beside.submit(prepare_browser)
        prepare("dev")
        run(program("ruff"), "check", cwd=ROOT)
        run(program("ruff"), "format", "--check", cwd=ROOT)
        run(program("mypy"), "--num-workers", CORES, cwd=ROOT)
        run(program("lint-imports"), "--no-logo", cwd=ROOT)
        run(program("python"), "scripts/cli_reference.py", "--check", cwd=ROOT)
        run(program("python"), "scripts/build_wasm.py", "--check", cwd=ROOT)
        browser.result()
    run(program("python"), "-m", "pytest", *(sys.argv[1:] or SHARED_OUT), cwd=ROOT)
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
    tests = (*SHARED_OUT, "tests/conformance", PLUGIN / "tests", "-k", "example")
    run(program("python"), "-m", "pytest", *tests, cwd=ROOT, environment={"PYTHONPATH": str(PLACE)})


def prepare_browser() -> None:
    """Have a browser that the tests of pages can drive."""
    if any(map(shutil.which, BROWSERS)):
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        sys.exit(f"the tests of pages need a browser: install Chromium ({', '.join(BROWSERS)})")
    run("apt-get", "update", "-qq")
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium")


if __name__ == "__main__":
    main()
