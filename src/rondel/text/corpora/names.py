"""First names, one a line: the smallest thing to learn to spell."""

from __future__ import annotations

from rondel.text.corpora import corpora
from rondel.text.corpora.base import Download

corpora.register("names")(
    Download(
        name="names",
        description="32,033 first names, one a line",
        size=228_145,
        licence="MIT",
        address="https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",
        sha256="0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
        file_name="names.txt",
    )
)
