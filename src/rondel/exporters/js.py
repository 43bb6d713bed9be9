"""A package for JavaScript: an ES module with types, for browsers and Node."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, ClassVar

from rondel import __version__
from rondel.exporters import exporters
from rondel.exporters.base import ALL_PRECISIONS, Exporter

if TYPE_CHECKING:
    from rondel.artifact import Artifact


class JavaScriptPackage(Exporter):
    """The engine as ES modules beside the model's files, with a `package.json`."""

    help = "a folder that is an ES module with types, for browsers and Node"
    precisions: ClassVar[tuple[str, ...]] = ALL_PRECISIONS

    def content(self, model: Artifact, name: str, precision: str) -> dict[str, bytes]:
        """See `Exporter.content`."""
        from rondel.exporters import web_model

        modules = web_model.modules_for(model, "index.js")
        places = [path.replace(".js", ".d.ts") for path in modules]
        texts = {
            **modules,
            **{path: web_model.text_of(path) for path in places if web_model.is_there(path)},
            "index.d.ts": _types(model.config.model),
            "package.json": json.dumps(_package(name), indent=2) + "\n",
            "model.json": json.dumps(web_model.describe_for_web(model, name)),
        }
        return {
            **{path: text.encode() for path, text in texts.items()},
            "weights.safetensors.gz": web_model.stored_weights(model.weights, precision),
            "engine.wasm": web_model.engine_wasm(),
        }


exporters.register("js")(JavaScriptPackage())


def _types(kind: str) -> str:
    return f"""\
import type {{ Model }} from "./kinds/{kind}.js";
export type {{ Model }} from "./kinds/{kind}.js";
export type {{ Settings }} from "./writing.js";

/** Open the model of this package; `wasm: false` runs it in plain JavaScript. */
export function load(options?: {{ wasm?: boolean }}): Promise<Model>;

/** What a setting or a text is refused with: one line that says what to do. */
export class Refusal extends Error {{}}
"""


def _package(name: str) -> dict[str, object]:
    return {
        "name": re.sub("[^a-z0-9_-]+", "-", name.lower()).strip("-_") or "model",
        "version": "1.0.0",
        "description": f"The model {name}, by rondel {__version__}",
        "type": "module",
        "exports": {".": {"types": "./index.d.ts", "default": "./index.js"}},
    }
