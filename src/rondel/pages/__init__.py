"""Self-contained HTML pages that work offline: templates, and the data inserted into them.

A template has its data in `<script type="application/json" id="data">`. The folder `writing` is the
page that `rondel serve` serves and that `rondel export --to html` writes.
"""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path
from typing import Any

MARK = "/*DATA*/"
WRITING = Path(__file__).parent / "writing"


def fill_page(template: str, data: Any) -> str:
    """Fill a template of this folder with data, which is written as JSON."""
    page = importlib.resources.files(__package__).joinpath(template).read_text(encoding="utf-8")
    head, tail = page.split(MARK)
    return head + json_in_script(data) + tail


def json_in_script(data: Any) -> str:
    """Data as JSON to stand in a script element: ASCII, and without <, so that none can end it."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
