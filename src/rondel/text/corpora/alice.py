"""Alice's Adventures in Wonderland: a whole book, and a short one."""

from __future__ import annotations

from rondel.text.corpora import corpora
from rondel.text.corpora.base import Download

corpora.register("alice")(
    Download(
        name="alice",
        description="Alice's Adventures in Wonderland, by Lewis Carroll",
        size=148_312,
        licence="public domain",
        address="https://raw.githubusercontent.com/pbloem/language-models/master/datasets/alice.txt",
        sha256="92aa45ae4691ffdf2de343ec955f34665444e1892c34e44381ac329a8a8a3434",
        file_name="alice.txt",
    )
)
