"""`rondel eval` for a sentence VAE."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from rondel.cli.sentence_vae_options import report_left_out
from rondel.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from rondel.api.sentence_vae import SentenceVAE
    from rondel.cli.eval import EvalRequest
    from rondel.evaluation.elbo import LatentEvaluation
    from rondel.evaluation.text_sources import RunSplit, TextFiles


IW_SAMPLES = 10


def evaluate_sentences(vae: SentenceVAE, request: EvalRequest) -> None:
    """Print the evaluation of the lines of a text, or of a split of the run's text."""
    from rondel.cli.progress_bar import ProgressBar
    from rondel.evaluation.elbo import evaluate_sentences as evaluate
    from rondel.text.one_sentence import refuse_unknowns_only

    if request.dynamic is not None or request.cache is not None:
        raise InputError(f"{request.folder} is a sentence VAE: leave out --dynamic and --cache")
    if request.reads_documents:
        raise InputError(
            f"{request.folder} is a sentence VAE, which reads each line independently: leave out "
            "--documents"
        )
    with request.opened(vae) as source, ProgressBar() as waiting:
        figures = evaluate(
            vae.latents,
            _sentences(vae, source, request.folder),
            vae.tokenizer.unknown_id,
            iw_samples=request.iw_samples or IW_SAMPLES,
            watch=waiting,
        )
        refuse_unknowns_only(vae.tokenizer, figures.unknown_only, figures.sentences)
    if request.as_json:
        click.echo(json.dumps(figures.to_json()))
        return
    rows = _rows(figures, vae.tokenizer.token_noun)
    width = max(len(number) for number, _ in rows)
    for number, unit in rows:
        click.echo(f"{number:>{width}}  {unit}")


def _sentences(
    vae: SentenceVAE, source: TextFiles | RunSplit, folder: Path
) -> Iterator[npt.NDArray[Any]]:
    """The ids of each sentence; the number of those too long to be read is printed at the end."""
    from rondel.cli.run_text import open_store
    from rondel.data.sentence_batches import Sentences
    from rondel.evaluation.evaluate import text_blocks
    from rondel.evaluation.scoring import refuse_unknown
    from rondel.evaluation.text_sources import RunSplit
    from rondel.text.cutting import decoded
    from rondel.text.one_sentence import end_id, sentence_ids

    if isinstance(source, RunSplit):
        store = open_store(folder, vae.config.vocab_size)
        stored = Sentences(store.tokens(source.name), end_id(vae.tokenizer))
        yield from (sentence for sentence in stored if len(sentence) > 1)
        return
    left_out = 0
    with source.stored(as_bytes=vae.tokenizer.reads_bytes) as text:
        refuse_unknown(text_blocks(vae.tokenizer, [text]))
        for line in _lines(decoded(text)):
            try:
                ids = sentence_ids(vae.tokenizer, line, vae.longest, known=False)
            except InputError:
                left_out += 1
            else:
                yield ids
    report_left_out(left_out, "too long")


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """The lines of a text in blocks that are not blank."""
    held = ""
    for text in texts:
        whole, line_break, held = (held + text).rpartition("\n")
        yield from (line for line in (whole + line_break).splitlines() if line.strip())
    yield from (line for line in held.splitlines() if line.strip())


def _rows(figures: LatentEvaluation, token: str) -> list[tuple[str, str]]:
    count, tokens = figures.sentences, figures.tokens
    bound = f"importance-weighted bound, {figures.iw_samples} samples"
    return [
        (f"{figures.nll / count:.3f}", "nats of reconstruction (NLL) per sentence"),
        (f"{figures.kl / count:.3f}", "nats of KL per sentence"),
        (f"{figures.negative_elbo / count:.3f}", "nats of negative ELBO per sentence"),
        (f"{figures.iw_nll / count:.3f}", f"nats per sentence ({bound})"),
        (f"{figures.iw_nll / tokens:.4f}", f"nats per {token} ({bound})"),
        (f"{figures.perplexity:,.3f}", f"perplexity per {token} ({bound})"),
        (f"{figures.elbo_perplexity:,.3f}", f"perplexity per {token} (ELBO)"),
        (f"{figures.active_units:,}", f"active units, of {figures.latent_size}"),
        (f"{count:,}", "sentences scored"),
        (f"{tokens:,}", f"{token}s scored, sentence ends counted"),
        (f"{figures.unknown:,}", f"of the {token}s unknown, scored as <unk>"),
        (f"{figures.unknown_only:,}", f"sentences of unknown {token}s only, scored too"),
    ]
