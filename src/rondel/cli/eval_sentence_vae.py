"""`rondel eval` for a sentence VAE."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from rondel.cli.sentence_vae_options import readable_lines
from rondel.errors import InputError

if TYPE_CHECKING:
    from rondel.api.sentence_vae import SentenceVAE
    from rondel.cli.eval import EvalRequest
    from rondel.evaluation.elbo import LatentEvaluation


IW_SAMPLES = 10


def evaluate_sentences(vae: SentenceVAE, request: EvalRequest) -> None:
    """Print the evaluation of the lines of a text, or of a split of the run's text."""
    from rondel.cli.eval import read_known
    from rondel.cli.progress_bar import ProgressBar
    from rondel.cli.run_text import open_store
    from rondel.data.sentence_batches import Sentences
    from rondel.text.one_sentence import end_id

    if request.dynamic is not None or request.cache is not None:
        raise InputError(f"{request.folder} is a sentence VAE: leave out --dynamic and --cache")
    samples = request.iw_samples or IW_SAMPLES
    with ProgressBar() as waiting:
        if request.text:
            text = read_known(vae, request.text, request.encoding)
            lines = [line for line in text.splitlines() if line.strip()]
            lines = readable_lines(vae, lines, known=False)
            figures = vae.evaluate_sentences(lines, iw_samples=samples, watch=waiting)
        else:
            store = open_store(request.folder, vae.config.vocab_size)
            stored = Sentences(store.tokens(request.split), end_id(vae.tokenizer))
            sentences = [sentence for sentence in stored if len(sentence) > 1]
            figures = vae.evaluate_ids(sentences, iw_samples=samples, watch=waiting)
    if request.as_json:
        click.echo(json.dumps(figures.to_json()))
        return
    rows = _rows(figures, vae.tokenizer.token_noun)
    width = max(len(number) for number, _ in rows)
    for number, unit in rows:
        click.echo(f"{number:>{width}}  {unit}")


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
