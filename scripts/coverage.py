"""Say which lines of src/ the tests run: a figure to look at, with no limit to pass.

Compiled kernels and child processes are not counted. Arguments go to pytest.
"""

from __future__ import annotations

import sys

from _environment import ROOT, prepare, program, run


def main() -> None:
    prepare("dev")
    python = program("python")
    run(python, "-m", "coverage", "run", "-m", "pytest", *sys.argv[1:], cwd=ROOT)
    run(python, "-m", "coverage", "report", "--skip-covered", "--sort=cover", cwd=ROOT)


if __name__ == "__main__":
    main()
