"""rondel in Python: prepare a corpus once, for many runs to train on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rondel.checked import checked
from rondel.data.corpus import PreparedCorpus
from rondel.errors import InputError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rondel.settings.keywords import TextKeywords
    from rondel.text.storing import WatchReading


@checked
def prepare(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    model: str | None = None,
    tokenizer_from: str | Path | None = None,
    overwrite: bool = False,
    seed: int = 1,
    **settings: Unpack[TextKeywords],
) -> PreparedCorpus:
    """Read files, folders or globs once, into a folder that `train` takes in their place.

    ::

        rondel.prepare("wikipedia/", "corpus", level="word", vocab_size=50_000)
        model = rondel.train("corpus", hidden_size=512, minutes=60)

    `settings` are the flags of `rondel prepare`: how text becomes tokens, and which part of it is
    for what. With `tokenizer_from`, the vocabulary of that model or corpus is used as it is. Only
    some blocks of the text are in memory at a time.

    Raises `InputError` for texts or settings that cannot be used, or if `out` is taken.
    """
    paths = [source] if isinstance(source, str | Path) else source
    given = {**settings, "model": model}
    return prepare_corpus(
        [str(path) for path in paths],
        Path(out),
        cast("dict[str, Any]", given),
        tokenizer_from=None if tokenizer_from is None else Path(tokenizer_from),
        overwrite=overwrite,
        seed=seed,
    )


def prepare_corpus(
    paths: Sequence[str],
    out: Path,
    given: dict[str, Any],
    *,
    tokenizer_from: Path | None = None,
    overwrite: bool = False,
    seed: int = 1,
    watch: WatchReading | None = None,
) -> PreparedCorpus:
    """As `prepare`, with the settings as a dict; `watch` is told how far it is."""
    from rondel.data.corpus import is_corpus, kept_settings, tokenizer_of
    from rondel.data.sources import source_of
    from rondel.locks import FolderLock
    from rondel.settings import Settings
    from rondel.text.storing import unwatched_reading
    from rondel.training.resolve import choose, resolve_text

    known = None if tokenizer_from is None else tokenizer_of(tokenizer_from)
    if known is not None:
        for name, value in kept_settings(known).items():
            if given.get(name) not in (None, value):
                raise InputError(
                    f"{name} is {value!r} in {tokenizer_from}, not {given[name]!r}; leave it out"
                )
            given = {**given, name: value}
    settings = Settings(given)
    kind, text = choose(settings).kind, resolve_text(settings)
    if out.exists() and not (overwrite and is_corpus(out)):
        raise InputError(
            f"{out} is there already; name another --out"
            + (", or replace it with --overwrite" if is_corpus(out) else "")
        )
    with FolderLock(out):
        return PreparedCorpus.write(
            out,
            kind,
            text,
            lambda folder: source_of(paths).prepare(
                kind,
                text,
                seed,
                None if known is None else lambda blocks, settings: known,
                folder,
                watch or unwatched_reading,
            ),
        )
