"""Pass every check: lint, format, types, imports, the generated docs, tests.

Sets up `.venv` first. Needs nothing but Python and pip. Arguments go to pytest.
"""

from __future__ import annotations

import sys

from _environment import ROOT, prepare, program, run


def main() -> None:
    prepare("dev")
    run(program("ruff"), "check", cwd=ROOT)
    run(program("ruff"), "format", "--check", cwd=ROOT)
    run(program("mypy"), cwd=ROOT)
    run(program("lint-imports"), "--no-logo", cwd=ROOT)
    run(program("python"), "scripts/cli_reference.py", "--check", cwd=ROOT)
    run(program("python"), "-m", "pytest", *sys.argv[1:], cwd=ROOT)


if __name__ == "__main__":
    main()
