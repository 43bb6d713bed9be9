"""Exported models run in Node, which Playwright brings."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import playwright

from rondel.artifact import Artifact
from rondel.exporters import exporters
from rondel.exporters.base import write_export

NODE = Path(playwright.__file__).parent / "driver" / "node"
PROGRAM = Path(__file__).parent / "_exported.mjs"


def export_package(path: Path, model: Artifact, precision: str = "fp32") -> Path:
    """Write a model as a package for JavaScript."""
    write_export(path, exporters["js"].content(model, path.name, precision))
    return path


def run_exported(jobs: Sequence[dict[str, Any]]) -> list[Any]:
    """The results of some calls of exported models, all in one process of Node.

    A job names a `package`, perhaps `wasm` (true, if left out), and a `call`: a method of the
    model with its arguments, or one of `CALLS` in the program.
    """
    done = subprocess.run(
        [NODE, PROGRAM],
        input=json.dumps(list(jobs), default=str),
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: list[Any] = json.loads(done.stdout)
    return results
