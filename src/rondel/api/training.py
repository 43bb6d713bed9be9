"""`rondel.train` and `rondel.resume`: train a model in Python."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rondel.api.language_model import LanguageModel
from rondel.api.load import load
from rondel.checked import checked
from rondel.errors import InputError
from rondel.training.callbacks import Callback

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from rondel.settings.keywords import ResumeKeywords, RunKeywords
    from rondel.training.ranks import Ranks
    from rondel.training.run import Run


@checked
def train(
    source: str | Path | Sequence[str | Path] | None = None,
    *,
    text: str | None = None,
    out: str | Path | None = None,
    init_from: str | Path | None = None,
    word_vectors: str | Path | None = None,
    tokenizer: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    callbacks: Sequence[Callback] = (),
    **settings: Unpack[RunKeywords],
) -> LanguageModel:
    """Train on files, folders, globs or a prepared corpus (`source`), or on a `text`.

    Returns the best model found.

    ::

        model = rondel.train("book.txt", minutes=10)
        model = rondel.train(text=poem, level="word", hidden_size=64, out="runs/poem")

    `settings` are the flags of `rondel train`. With `out` the run is saved in that folder, to be
    resumed or shown; without it, save the model yourself. `callbacks` are added to the default
    ones: see `rondel.training.callbacks.Callback`.

    Raises `InputError` for texts or settings that cannot be used.
    """
    from rondel.data.sources import MemoryText, source_of
    from rondel.data.text_source import TextSource
    from rondel.training.start import begin, configure, is_of_this_launch
    from rondel.training.start import resume as resume_run
    from rondel.training.together import joined
    from rondel.training.warm_start import warm_start_from

    paths = [source] if isinstance(source, str | Path) else source or []
    given = cast("dict[str, Any]", settings)
    with joined() as ranks, tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run" if out is None else Path(out)
        ranks.compare(given, [str(path) for path in paths], text or "")

        def make() -> Run:
            warm_start = warm_start_from(init_from, word_vectors, tokenizer)
            if source is not None and text is None:
                read: TextSource = source_of([str(path) for path in paths])
            elif source is None and text is not None:
                read = MemoryText(text)
            else:
                raise InputError(
                    "rondel.train takes either files to read or text=…, one of the two"
                )
            config = configure(given, warm_start=warm_start, source=read)
            if is_of_this_launch(folder):
                return resume_run(folder, {}, ranks)
            return begin(
                read, config, folder, warm_start=warm_start, overwrite=overwrite, ranks=ranks
            )

        return _fitted(ranks, make, quiet, callbacks)


@checked
def resume(
    run: str | Path,
    *,
    quiet: bool = False,
    callbacks: Sequence[Callback] = (),
    **changes: Unpack[ResumeKeywords],
) -> LanguageModel:
    """Resume the run in a folder from its last save; return its best model.

    `changes` may set new limits (`minutes`, `steps`, `epochs`, counted from its beginning), where
    it runs (`device`, `threads`) and what it shows; all other settings are kept.
    """
    from rondel.training.start import resume as resume_run
    from rondel.training.together import joined

    given = cast("dict[str, Any]", changes)
    with joined() as ranks:
        ranks.compare(given)
        return _fitted(ranks, lambda: resume_run(Path(run), given, ranks), quiet, callbacks)


def _fitted(
    ranks: Ranks, make: Callable[[], Run], quiet: bool, callbacks: Sequence[Callback]
) -> LanguageModel:
    """Train a run to its end; return its best model in each of the processes that train it."""
    from rondel.training.callbacks.standard import standard_callbacks
    from rondel.training.loop import fit
    from rondel.training.run import best_folder
    from rondel.training.together import shown, together

    with closing(together(ranks, make)) as run:
        if ranks.is_first:
            run.callbacks = [*standard_callbacks(quiet=quiet), *callbacks]
        reason = fit(run)
    if not run.home.is_published:
        raise KeyboardInterrupt(f"{reason} before its first save; {run.folder} is unchanged")
    with shown(ranks, best_folder(run.folder)) as best:
        return load(best)
