"""The sentence VAE: each sentence by itself whatever stands beside it, its losses, its training."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _runs import rondel, variants
from _settings import model_config
from torch.nn import functional

import rondel as package
from rondel.data.batches import PADDING
from rondel.data.sentence_batches import Sentences
from rondel.engine.sentence_vae_engine import SentenceVAEEngine
from rondel.errors import InputError
from rondel.models.base import TensorBatch
from rondel.models.sentence_vae_module import Regularisation, SentenceVAE, draw, kl_of
from rondel.settings.fields import settings_of
from rondel.text.tokenizers import tokenizers
from rondel.training.sentence_vae_learner import importance_weighted, mutual_information
from rondel.training.snapshots import read_snapshot

END, VOCABULARY = 0, 12
SENTENCES = [[3, 4, 5, 6, 0], [7, 0], [1, 2, 3, 4, 5, 6, 7, 0], [9, 8, 0]]

every_shape = pytest.mark.parametrize(
    ("cell", "nonlinearity", "options"),
    [
        (*variant, options)
        for variant in variants()
        for options in (
            {"num_layers": 1},
            {"num_layers": 2, "encoder_layers": 1, "encoder_bidirectional": True},
            {"num_layers": 1, "latent_input": True, "encoder_cell": "gru", "embedding_size": 0},
        )
    ],
    ids=str,
)


def make_model(cell: str = "lstm", nonlinearity: str = "tanh", **options: Any) -> SentenceVAE:
    torch.manual_seed(1)
    shape = {"hidden_size": 16, "embedding_size": 8, "num_layers": 1, **options}
    config = model_config(
        model="sentence-vae", cell=cell, nonlinearity=nonlinearity, latent_size=5,
        encoder_hidden_size=12, vocab_size=VOCABULARY, **shape,
    )  # fmt: skip
    model = SentenceVAE(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
    return model


def batch_of(sentences: list[list[int]]) -> TensorBatch:
    stored = Sentences(np.concatenate([np.array(ids) for ids in sentences]), END)
    batch = stored.batch(range(len(sentences)))
    return TensorBatch(torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets))


@torch.no_grad()
def figures_of(model: SentenceVAE, sentences: list[list[int]], z_BZ: torch.Tensor) -> np.ndarray:
    """Mean, log-variance and loss of each sentence: (B, 2 Z + 1)."""
    batch = batch_of(sentences)
    nll_B = model.negative_log_likelihoods(batch, z_BZ)
    return torch.cat([*model.encode(batch.targets), nll_B[:, None]], dim=1).numpy()


@every_shape
def test_a_sentence_does_not_depend_on_its_batch(
    cell: str, nonlinearity: str, options: dict[str, Any]
) -> None:
    model = make_model(cell, nonlinearity, **options)
    z_BZ = torch.randn(len(SENTENCES), 5)
    together = figures_of(model, SENTENCES, z_BZ)
    order = [2, 0, 3, 1]
    permuted = figures_of(model, [SENTENCES[i] for i in order], z_BZ[order])
    np.testing.assert_allclose(permuted, together[order], atol=1e-6)
    for number, sentence in enumerate(SENTENCES):
        alone = figures_of(model, [sentence], z_BZ[number : number + 1])
        np.testing.assert_allclose(alone[0], together[number], atol=1e-5)
    # The sentences do differ.
    assert np.ptp(together, axis=0).min() > 1e-4


@every_shape
def test_the_engine_encodes_and_predicts_as_the_module(
    cell: str, nonlinearity: str, options: dict[str, Any]
) -> None:
    model = make_model(cell, nonlinearity, **options)
    engine = SentenceVAEEngine(model.config, model.export())
    mean_NZ, log_variance_NZ = engine.encode([np.array(ids) for ids in SENTENCES])
    batch, z_BZ = batch_of(SENTENCES), torch.randn(len(SENTENCES), 5)
    with torch.no_grad():
        expected = model.encode(batch.targets)
        outputs_TBH = model.decode(batch.inputs, z_BZ)
        logits_TBV = model.decoder.head(outputs_TBH)
    np.testing.assert_allclose(mean_NZ, expected[0], atol=2e-5)
    np.testing.assert_allclose(log_variance_NZ, expected[1], atol=2e-5)
    found_TBV, _ = engine.decoder.sequence(batch.inputs.numpy(), engine.initial_state(z_BZ.numpy()))
    np.testing.assert_allclose(found_TBV, logits_TBV, atol=1e-4)


@torch.no_grad()
def test_losses_are_sums_over_a_sentence_and_means_over_sentences() -> None:
    model = make_model()
    model.regularisation = Regularisation("linear", 100, beta=2.0, free_bits=0.7)
    batch = batch_of(SENTENCES)
    torch.manual_seed(3)
    terms, _ = model.losses(batch, (), 25)
    torch.manual_seed(3)
    mean_BZ, log_variance_BZ = model.encode(batch.targets)
    z_BZ = draw(mean_BZ, log_variance_BZ)
    logits_TBV = model.decoder.head(model.decode(batch.inputs, z_BZ))
    nll = functional.cross_entropy(
        logits_TBV.flatten(0, 1), batch.targets.flatten(), ignore_index=PADDING, reduction="sum"
    )
    assert float(terms["nll"]) == pytest.approx(float(nll) / len(SENTENCES), rel=1e-6)
    normal = torch.distributions.Normal(mean_BZ, (0.5 * log_variance_BZ).exp())
    kl_BZ = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0))
    assert float(terms["kl"]) == pytest.approx(float(kl_BZ.sum(1).mean()), rel=1e-5)
    weighted = 0.25 * 2.0 * float(kl_BZ.mean(0).clamp(min=0.7).sum())
    assert float(terms["annealing"] + terms["kl"]) == pytest.approx(weighted, rel=1e-5)
    assert model.reported_terms({"nll": 1, "kl": 2, "annealing": 3}) == [1, 2]


@pytest.mark.parametrize(
    ("kind", "weights"),
    [
        ("none", [0.5, 0.5, 0.5, 0.5]),
        ("linear", [0.0, 0.125, 0.5, 0.5]),
        ("logistic", [0.5 / (1 + math.exp(5)), 0.5 / (1 + math.exp(2.5)), 0.4966, 0.5]),
        ("cyclical", [0.0, 0.25, 0.0, 0.5]),
    ],
)
def test_the_weight_of_the_kl_term_follows_its_schedule(kind: str, weights: list[float]) -> None:
    chosen = Regularisation(kind, 100, beta=0.5)
    assert [chosen.weight(step) for step in (0, 25, 100, 250)] == pytest.approx(weights, abs=1e-4)


def test_word_dropout_spares_the_first_input() -> None:
    model = make_model()
    batch, z_BZ = batch_of(SENTENCES), torch.zeros(len(SENTENCES), 5)
    whole = model.decode(batch.inputs, z_BZ)
    without = model.decode(batch.inputs, z_BZ, dropped=0.999999)
    torch.testing.assert_close(without[0], whole[0])
    assert (without[1:] - whole[1:]).abs().amin(dim=(1, 2)).max() < 1
    assert not torch.allclose(without[1:], whole[1:])


def test_mutual_information_is_0_for_equal_posteriors_and_ln_n_for_distinct_ones() -> None:
    generator = torch.Generator().manual_seed(1)
    alike, narrow = torch.zeros(50, 4), torch.full((50, 4), -8.0)
    assert mutual_information(alike, alike, generator) == pytest.approx(0, abs=1e-5)
    apart = 10.0 * torch.randn(50, 4, generator=generator)
    assert mutual_information(apart, narrow, generator) == pytest.approx(math.log(50), rel=1e-4)


def test_importance_weighting_tightens_the_bound() -> None:
    model, batch = make_model(), batch_of(SENTENCES)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        posterior = model.encode(batch.targets)

        def noises(count: int) -> list[torch.Tensor]:
            return list(torch.randn(count, *posterior[0].shape, generator=generator))

        bounds = [
            float(importance_weighted(model, batch, *posterior, noises(count)).mean())
            for count in (1, 2000, 2000)
        ]
        kl_B = kl_of(*posterior).sum(1)
        elbos = [
            float((model.negative_log_likelihoods(batch, draw(*posterior)) + kl_B).mean())
            for _ in range(200)
        ]
    assert bounds[1] == pytest.approx(bounds[2], abs=0.1)
    assert bounds[1] < np.mean(elbos)


SMALL = {
    "model": "sentence-vae", "hidden_size": 16, "embedding_size": 8, "latent_size": 4,
    "batch_size": 8, "threads": 1, "device": "cpu", "min_count": 1, "eval_every": 6,
    "kl_annealing_steps": 10,
}  # fmt: skip


@pytest.fixture(scope="module")
def lines(coffee: str) -> str:
    return coffee[:8000].replace(". ", ".\n")


@pytest.mark.parametrize("level", tokenizers)
def test_training_writes_its_metrics_to_the_folder(level: str, lines: str, tmp_path: Path) -> None:
    long = " ".join(["cup"] * 80) + " " + "x" * 200
    text = f"\n\n{long}\n{lines}"
    settings = {**SMALL, "level": level, "iw_samples": 5}
    if "min_count" not in settings_of(tokenizers[level].settings):
        del settings["min_count"]
    model = package.train(text=text, steps=12, out=tmp_path / "run", quiet=True, **settings)
    assert isinstance(model, package.Model)
    assert model.config.own["longest_sentence"] >= 60
    written = (tmp_path / "run/metrics.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in written.splitlines()]
    found = [row for row in rows if row["val_loss"] is not None]
    assert [row["step"] for row in found] == [6, 12]
    for row in found:
        assert row["val_loss"] == pytest.approx(row["nll"] + row["kl"])
        assert row["elbo"] == pytest.approx(-row["val_loss"])
        assert 0 <= row["active_units"] <= 4
        assert row["iw_nll"] < row["val_loss"] + 0.5
    assert found[-1]["val_loss"] < found[0]["val_loss"]
    assert found[-1]["beta"] == 1.0


def test_words_are_the_default_and_dropped_lines_are_reported(lines: str, tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("\n" + "cup " * 70 + "\n" + lines, encoding="utf-8")
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    done = rondel("train", path, *flags, "--steps", 6, "--plain", "--out", tmp_path / "run")
    blank = 1 + sum(not line.strip() for line in lines.splitlines())
    assert f"empty lines left out: {blank}\n" in done.stdout
    assert "1 sentences of more than 60 words dropped" in done.stdout
    assert "negative ELBO" in done.stdout
    assert "nats/sentence" in done.stdout
    assert package.load(tmp_path / "run").tokenizer.level == "word"
    shown = rondel("show", tmp_path / "run").stdout
    assert "nats/sentence, negative ELBO" in shown


@pytest.mark.parametrize("aggressive", [False, True])
def test_a_resumed_run_ends_in_the_same_bits(aggressive: bool, lines: str, tmp_path: Path) -> None:
    settings = {**SMALL, "aggressive": aggressive, "schedule": "constant", "quiet": True}
    package.train(text=lines, steps=30, out=tmp_path / "whole", **settings)
    package.train(text=lines, steps=13, out=tmp_path / "cut", **settings)
    package.resume(tmp_path / "cut", steps=30, eval_every=6, quiet=True)
    whole, _ = read_snapshot(tmp_path / "whole/resume.safetensors")
    cut, _ = read_snapshot(tmp_path / "cut/resume.safetensors")
    assert whole.arrays.keys() == cut.arrays.keys()
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(array, cut.arrays[name], err_msg=name)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (
            {"model": "language-model", "latent_size": 4},
            "--latent-size is for model sentence-vae",
        ),
        (
            {"model": "bidirectional", "free_bits": 0.1, "latent_size": None},
            "--free-bits is for model sentence-vae",
        ),
        ({"backend": "numpy"}, "is the plain reference and has no sentence VAE"),
        ({"level": "word", "max_sentence_length": 1}, "no sentence to learn from"),
        ({"encoder_cell": "qrnn"}, "qrnn"),
    ],
)
def test_invalid_settings_are_refused(
    settings: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    text = "A cup of coffee.\nThe bean is blue.\n" * 20
    chosen = {**SMALL, **settings}
    if "model" in settings:
        chosen = {k: v for k, v in chosen.items() if v is not None and not k.startswith("kl_")}
    with pytest.raises(InputError, match=reason):
        package.train(text=text, steps=1, out=tmp_path / "run", quiet=True, **chosen)
    assert not (tmp_path / "run").exists()


def test_a_text_without_a_sentence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sentence to learn from \\(it is blank\\)"):
        package.train(text=" \n\n \n", steps=1, out=tmp_path / "run", quiet=True, **SMALL)
