"""A sentence VAE beside a plain language model, and beside one that collapses.

    python benchmarks/sentence_vae.py [CAPTIONS] [--minutes 10] [--threads 1] [--json FILE]
        [--figure FILE]

Three models of the same decoder, each trained for the same time on the same sentences (one a line;
the corpus coco, if no file is named) as `rondel train` trains them: a sentence VAE at its
defaults, one with the full KL term from the first step, no word dropout and no free bits, and a
language model. All are judged on the last tenth of the lines, by nats per sentence, its end
included: the language model line by line, each predicted from a line break; the VAEs by the
importance-weighted bound, which is never below the truth.

Of the VAEs the table also has what z tells (KL, active units), how well sentences come back
(BLEU and exact matches of the likeliest words at the mean of q(z|x)), and of 1,000 samples from the
prior how many are different, and how many are no line of the training text.
"""

from __future__ import annotations

import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import sacrebleu
from _report import arguments_for, describe, machine, table, write_json
from matplotlib.figure import Figure

import rondel
from rondel.api.sentence_vae import SentenceVAE
from rondel.evaluation.framing import Framing
from rondel.evaluation.scoring import ScoringSettings
from rondel.text.corpora import corpora
from rondel.text.reading import read_text
from rondel.training.callbacks.metrics_file import METRICS, read_metrics

HELD_OUT = 0.1
COLLAPSING = {"kl_annealing": "none", "word_dropout": 0.0, "free_bits": 0.0}
SMOKE = {"hidden_size": 16, "steps": 20}


def main() -> None:
    parser = arguments_for(__doc__)
    parser.add_argument("captions", nargs="?", type=Path, help="sentences, one a line")
    parser.add_argument("--minutes", type=float, default=10.0, help="of each training")
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--threads", type=int, help="CPU threads to train with")
    parser.add_argument("--samples", type=int, default=1000, help="from the prior")
    parser.add_argument("--reconstructed", type=int, default=1000, help="held-out sentences")
    parser.add_argument("--iw-samples", type=int, default=50)
    parser.add_argument("--figure", type=Path, help="file to draw the curves of both VAEs to")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.samples = arguments.reconstructed = 20
        arguments.iw_samples = 2
    at, text = machine(), _text(arguments)
    lines = text.splitlines()
    held_out = lines[round(len(lines) * (1 - HELD_OUT)) :]
    rows, shown = [], []
    curves: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, settings in (("defaults", {}), ("all at once", COLLAPSING)):
            vae = trained(Path(scratch) / name, text, arguments, model="sentence-vae", **settings)
            row, samples = of_vae(name, vae, held_out, set(lines), arguments)
            rows.append(row)
            curves[name] = read_metrics(Path(scratch) / name / METRICS)
            shown.append((name, samples))
        plain = trained(Path(scratch) / "plain", text, arguments, level="word")
        rows.append(of_language_model(plain, held_out, rows[0]))
    print(table(rows))
    print(f"\nnats per sentence; {describe(at)}")
    for name, samples in shown:
        print(f"\n{name}, the first twenty samples:\n" + "\n".join(f"- {line}" for line in samples))
    if arguments.figure:
        draw(arguments.figure, curves)
    write_json(arguments.json, {"rows": rows, "samples": dict(shown)}, at)


def _text(arguments: Namespace) -> str:
    """Sentences, one a line, the blank ones left out."""
    if arguments.smoke:
        text = corpora["coffee"].text(size=6000, seed=1).replace(". ", ".\n")
    elif arguments.captions:
        text = read_text([str(arguments.captions)])
    else:
        text = corpora["coco"].text()
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line)


def trained(folder: Path, text: str, arguments: Namespace, **settings: Any) -> rondel.Model:
    """The best state of a run that is told nothing but `settings`, sizes and its minutes."""
    own = {"hidden_size": arguments.hidden_size, "minutes": arguments.minutes}
    own = SMOKE if arguments.smoke else own
    # A language model's text is cut by characters: so many that the same lines are left.
    lines = text.splitlines(keepends=True)
    characters = len("".join(lines[round(len(lines) * (1 - HELD_OUT)) :]))
    held_out = HELD_OUT if "model" in settings else characters / len(text)
    return rondel.train(
        text=text,
        out=folder,
        threads=arguments.threads,
        validation_fraction=held_out,
        quiet=True,
        **{**own, **settings},
    )


def of_vae(
    name: str, vae: rondel.Model, held_out: list[str], known: set[str], arguments: Namespace
) -> tuple[dict[str, Any], list[str]]:
    assert isinstance(vae, SentenceVAE)
    found = vae.evaluate_sentences(held_out, iw_samples=arguments.iw_samples)
    asked = held_out[: arguments.reconstructed]
    means, _ = vae.encode(asked)
    written = vae.decode(means)
    samples = vae.sample_sentences(arguments.samples, seed=1)
    # What a decoder would write if it knew all the words is what it is held against.
    original = [vae.tokenizer.decode(vae.tokenizer.encode(line).tolist()) for line in asked]
    row = {
        "model": f"sentence VAE, {name}",
        "-ln p": found.iw_nll / found.sentences,
        "-ELBO": found.negative_elbo / found.sentences,
        "reconstruction": found.nll / found.sentences,
        "KL": found.kl / found.sentences,
        "active": f"{found.active_units} of {found.latent_size}",
        "BLEU": sacrebleu.corpus_bleu(written, [original]).score,
        "exact %": 100 * sum(a == b for a, b in zip(written, original, strict=True)) / len(asked),
        "distinct %": 100 * len(set(samples)) / len(samples),
        "new %": 100 * sum(line not in known for line in samples) / len(samples),
    }
    return row, samples[:20]


def of_language_model(
    plain: rondel.Model, held_out: list[str], like: dict[str, Any]
) -> dict[str, Any]:
    settings = ScoringSettings("document", "nats", reset=True, framing=Framing("newline"))
    (scored,) = plain.score_many(["".join(f"{line}\n" for line in held_out)], settings)
    nats = float(scored["surprisal_nats"][0]) / len(held_out)
    return {**dict.fromkeys(like, "–"), "model": "language model", "-ln p": nats}


def draw(file: Path, curves: dict[str, list[dict[str, Any]]]) -> None:
    """Negative ELBO and KL of each run at its validations."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    losses, kls = figure.subplots(1, 2)
    for (name, rows), colour in zip(curves.items(), ("#b0501c", "#3b6fb6"), strict=True):
        told = [row for row in rows if row.get("kl") is not None]
        minutes = [row["seconds"] / 60 for row in told]
        losses.plot(
            minutes, [row["val_loss"] for row in told], color=colour, marker=".", label=name
        )
        kls.plot(minutes, [row["kl"] for row in told], color=colour, marker=".", label=name)
    losses.set(ylabel="negative ELBO, nats per sentence", xlabel="minutes of training")
    kls.set(ylabel="KL, nats per sentence", xlabel="minutes of training", ylim=(-0.1, None))
    for axes in (losses, kls):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    kls.legend(frameon=False)
    figure.savefig(file, dpi=130)


if __name__ == "__main__":
    main()
