"""Tiny Shakespeare, the text that char-rnn made known."""

from __future__ import annotations

from rondel.text.corpora import corpora
from rondel.text.corpora.base import Download

corpora.register("tinyshakespeare")(
    Download(
        name="tinyshakespeare",
        description="forty thousand lines of Shakespeare's plays",
        size=1_115_394,
        licence="public domain",
        address="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        file_name="tinyshakespeare.txt",
    )
)
