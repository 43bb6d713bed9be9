"""One page that writes with a model, from disk and without a network."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rondel.exporters import exporters
from rondel.exporters.base import ALL_PRECISIONS, Exporter
from rondel.exporters.bundle import bundle
from rondel.pages import WRITING, json_in_script

if TYPE_CHECKING:
    from rondel.artifact import Artifact

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data:"
)
"""What the page may do: nothing of it comes from elsewhere, and it asks nobody."""


class HtmlPage(Exporter):
    """The page of `rondel serve` with the model and its engine in it, in a worker."""

    help = "one page, to open in a browser without a network"
    precisions: ClassVar[tuple[str, ...]] = ALL_PRECISIONS

    def content(self, model: Artifact, name: str, precision: str) -> bytes:
        """See `Exporter.content`."""
        from rondel.exporters import web_model

        worker = bundle(web_model.modules_for(model, "worker.js"), "worker.js")
        page_modules = {file.name: _read(file) for file in WRITING.glob("*.js")}
        page_modules["client.js"] = _read(web_model.JAVASCRIPT / "local.js")
        data = {
            "model-data": json_in_script(web_model.describe_for_web(model, name)),
            "worker": worker,
            "weights": _base64(web_model.stored_weights(model.weights, precision)),
            "wasm": _base64(web_model.engine_wasm()),
        }
        scripts = [_script(text, f'type="text/plain" id="{place}"') for place, text in data.items()]
        scripts.append(_script(bundle(page_modules, "page.js")))
        icon = _base64(_read(WRITING / "icon.svg").encode())
        style = _read(WRITING / "page.css")
        policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        replacements = {
            "<title>rondel</title>": f"{policy}\n<title>{html.escape(name)}</title>",
            'href="/page/icon.svg"': f'href="data:image/svg+xml;base64,{icon}"',
            '<link rel="stylesheet" href="/page/page.css">': f"<style>\n{style}</style>",
            '<script type="module" src="/page/page.js"></script>\n': "",
            '\n    <a href="/docs">Interface</a>': "",
            "</body>": "\n".join([*scripts, "</body>"]),
        }
        page = _read(WRITING / "index.html")
        for old, new in replacements.items():
            before, after = page.split(old)
            page = before + new + after
        return page.encode()


exporters.register("html")(HtmlPage())


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _script(text: str, attributes: str = "") -> str:
    """Return a script element of a text that does not end it: rondel's own, or without <."""
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError("a script may not have </script or <!-- in it")
    return f"<script {attributes}>{text}</script>".replace("<script >", "<script>")
