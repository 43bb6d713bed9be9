"""Self-contained HTML pages that work offline: templates, and the data inserted into them.

A template has its data in `<script type="application/json" id="data">`.
"""

from __future__ import annotations

import importlib.resources
import json
from typing import Any

MARK = "/*DATA*/"


def fill_page(template: str, data: Any) -> str:
    """Fill a template of this folder with data, which is written as JSON."""
    page = importlib.resources.files(__package__).joinpath(template).read_text(encoding="utf-8")
    # The JSON is ASCII, and without < so that no text can end the script element.
    written = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    head, tail = page.split(MARK)
    return head + written + tail
