"""`rondel.prepare`: prepare a corpus once, for many runs to train on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rondel.checked import checked
from rondel.data.corpus import PreparedCorpus
from rondel.errors import InputError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rondel.data.text_preparation import PreparedText
    from rondel.settings.keywords import TextKeywords
    from rondel.text.storing import WatchReading
    from rondel.training.warm_start import FromTokenizer


@checked
def prepare(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    model: str | None = None,
    tokenizer: str | Path | None = None,
    overwrite: bool = False,
    seed: int = 1,
    **settings: Unpack[TextKeywords],
) -> PreparedCorpus:
    """Read files, folders or globs once, into a folder that `train` takes instead of them.

    ::

        rondel.prepare("wikipedia/", "corpus", level="word", vocab_size=50_000)
        model = rondel.train("corpus", hidden_size=512, minutes=60)

    `settings` are the flags of `rondel prepare`: how to tokenise the text, and how to split it into
    training, validation and test. `tokenizer` is a file or folder with one, as for `train`: another
    model's or corpus's, Hugging Face's or SentencePiece's. Only some blocks of the text are in
    memory at a time.

    Raises `InputError` for texts or settings that cannot be used, or if `out` exists.
    """
    from rondel.training.warm_start import FromTokenizer

    paths = [source] if isinstance(source, str | Path) else source
    given = {**settings, "model": model}
    return prepare_corpus(
        [str(path) for path in paths],
        Path(out),
        cast("dict[str, Any]", given),
        tokenizer=None if tokenizer is None else FromTokenizer(Path(tokenizer)),
        overwrite=overwrite,
        seed=seed,
    )


def prepare_corpus(
    paths: Sequence[str],
    out: Path,
    given: dict[str, Any],
    *,
    tokenizer: FromTokenizer | None = None,
    overwrite: bool = False,
    seed: int = 1,
    watch: WatchReading | None = None,
) -> PreparedCorpus:
    """As `prepare`, with the settings as a dict; `watch` is called with the progress."""
    from rondel.data.corpus import is_corpus
    from rondel.data.sources import source_of
    from rondel.data.text_source import Preparation
    from rondel.locks import FolderLock
    from rondel.text.storing import unwatched_reading
    from rondel.text.tokenizers import train_on_blocks
    from rondel.training.interrupts import ended_by_signals
    from rondel.training.resolve import choose, resolve_text
    from rondel.training.start import configure

    settings = configure(given, warm_start=tokenizer)
    kind, text = choose(settings).kind, resolve_text(settings)
    if out.exists() and not (overwrite and is_corpus(out)):
        raise InputError(
            f"{out} is there already; name another --out"
            + (", or replace it with --overwrite" if is_corpus(out) else "")
        )
    if prepared := [path for path in paths if is_corpus(path)]:
        raise InputError(
            f"{prepared[0]} is a prepared corpus already: train on it, or prepare its text again"
        )
    make_tokenizer = train_on_blocks if tokenizer is None else tokenizer.tokenizer
    source = source_of(paths)

    def make(folder: Path) -> PreparedText:
        wanted = Preparation(kind, text, seed, folder, make_tokenizer, watch or unwatched_reading)
        return source.prepare(wanted)

    with ended_by_signals(), FolderLock(out, doing="preparing"):
        return PreparedCorpus.write(out, kind, text, make)
