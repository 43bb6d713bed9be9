"""The page on the architecture names files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("docs/architecture.md", "CONTRIBUTING.md")


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_folder_that_it_names_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)`", text))
    assert len(named) > 10
    missing = {
        name
        for name in named
        if not (ROOT / "src" / "rondel" / name).exists() and not (ROOT / name).exists()
    }
    # Rooms within kernels/ are named by themselves, after it.
    assert {name for name in missing if not list((ROOT / "src/rondel/kernels").glob(name))} == set()
