"""The main job: train on a text that is always here for a minute, and print a sample.

Sets up `.venv` first. Needs nothing but Python and pip.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from _environment import ROOT, prepare, program, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", default="1", help="how long to train (default: 1)")
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "runs" / "coffee",
        help="folder of the run, numbered if it is there already (default: runs/coffee)",
    )
    arguments = parser.parse_args()
    prepare("train")
    folder = free_folder(arguments.out.absolute())
    shown = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    rondel = program("rondel")
    run(rondel, "train", "--minutes", arguments.minutes, "--out", shown, cwd=ROOT)
    run(rondel, "sample", shown / "best", "--temperature", "0.8", cwd=ROOT)


def free_folder(wanted: Path) -> Path:
    """The folder wanted, or the first of NAME-2, NAME-3 … that is not there."""
    folder, number = wanted, 1
    while folder.exists():
        number += 1
        folder = wanted.with_name(f"{wanted.name}-{number}")
    return folder


if __name__ == "__main__":
    main()
