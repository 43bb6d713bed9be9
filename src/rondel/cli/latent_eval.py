"""What `rondel eval` says of a sentence VAE."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rondel.cli.sentences import readable

if TYPE_CHECKING:
    from rondel.evaluation.latent import LatentEvaluation
    from rondel.latent_api import SentenceVAE


def tell_of_sentences(
    vae: SentenceVAE, folder: Path, text: str | None, split: str, samples: int, as_json: bool
) -> None:
    """Print how the model does on the lines of a text, or on a part of its run's own."""
    from rondel.cli.runs import open_store
    from rondel.cli.waiting import Waiting
    from rondel.data.sentences import Sentences
    from rondel.text.one_sentence import end_id

    with Waiting() as waiting:
        if text is not None:
            lines = [line for line in text.splitlines() if line.strip()]
            lines = readable(vae, lines, known=False)
            figures = vae.evaluate_sentences(lines, iw_samples=samples, watch=waiting)
        else:
            stored = Sentences(open_store(folder).tokens(split), end_id(vae.tokenizer))
            sentences = [sentence for sentence in stored if len(sentence) > 1]
            figures = vae.evaluate_ids(sentences, iw_samples=samples, watch=waiting)
    if as_json:
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
        (f"{figures.unknown_only:,}", f"of the sentences of unknown {token}s only, scored too"),
    ]
