"""Evaluation of sentence VAEs, compared with numeric integrals and PyTorch's densities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from _sentence_vae import SENTENCES, random_vae

from rondel.api.sentence_vae import SentenceVAE
from rondel.data.batches import PADDING
from rondel.errors import InputError
from rondel.evaluation.elbo import negative_log_likelihoods
from rondel.models.sentence_vae_module import SentenceVAE as TorchVAE
from rondel.text.one_sentence import sentence_ids


def _ids(vae: SentenceVAE) -> list[np.ndarray]:
    return [sentence_ids(vae.tokenizer, sentence, None) for sentence in SENTENCES]


def _padded(sentences: list[np.ndarray]) -> torch.Tensor:
    targets_TB = torch.full((max(map(len, sentences)), len(sentences)), PADDING)
    for b, ids in enumerate(sentences):
        targets_TB[: len(ids), b] = torch.from_numpy(ids.astype(np.int64))
    return targets_TB


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"latent_input": True, "encoder_bidirectional": False},
        {"cell": "gru", "embedding_size": 12, "tie_weights": True, "encoder_cell": None},
        {"cell": "rnn", "embedding_size": 0, "encoder_layers": None, "latent_input": True},
    ],
)
def test_the_engine_is_the_module_that_was_trained(settings: dict[str, Any]) -> None:
    vae = random_vae(**settings)
    module = TorchVAE(vae.config).eval()
    arrays = module.named_arrays()
    assert set(arrays) == set(vae.weights)
    with torch.no_grad():
        for name, array in arrays.items():
            array.copy_(torch.from_numpy(vae.weights[name]))
        sentences = _ids(vae)
        targets_TB = _padded(sentences)
        mean_BZ, log_variance_BZ = module.encode(targets_TB)
        found_mean, found_log_variance = vae.encode(SENTENCES)
        np.testing.assert_allclose(found_mean, mean_BZ, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(found_log_variance, log_variance_BZ, rtol=1e-5, atol=1e-5)
        starts = torch.full((1, len(sentences)), int(sentences[0][-1]))
        inputs_TB = torch.cat([starts, targets_TB[:-1]]).clamp(min=0)
        outputs_TBH = module.decode(inputs_TB, mean_BZ)
        head = vae.weights["embedding.weight" if vae.config.tie_weights else "head.weight"]
        logits = outputs_TBH @ torch.from_numpy(head).T + torch.from_numpy(vae.weights["head.bias"])
        losses = torch.nn.functional.cross_entropy(
            logits.double().movedim(2, 1), targets_TB, ignore_index=PADDING, reduction="none"
        )
    own = negative_log_likelihoods(vae.latents, sentences, found_mean)
    np.testing.assert_allclose(own, losses.sum(0), rtol=1e-5)


def test_kl_and_reconstruction_are_those_of_the_densities() -> None:
    vae = random_vae()
    found = vae.evaluate_sentences(SENTENCES, iw_samples=400)
    means, log_variances = map(torch.from_numpy, vae.encode(SENTENCES))
    normal = torch.distributions.Normal
    posterior = normal(means, torch.exp(0.5 * log_variances))
    kl = torch.distributions.kl_divergence(posterior, normal(0.0, 1.0)).sum()
    assert found.kl == pytest.approx(float(kl), rel=1e-5)
    points = posterior.sample((400,)).numpy()
    losses = [negative_log_likelihoods(vae.latents, _ids(vae), z_NZ).sum() for z_NZ in points]
    assert found.nll == pytest.approx(np.mean(losses), rel=0.02)
    assert found.negative_elbo == found.nll + found.kl
    assert found.tokens == sum(map(len, _ids(vae)))
    assert found.active_units == int((means.numpy().var(axis=0) > 0.01).sum())


def test_the_weighted_bound_converges_to_the_likelihood() -> None:
    vae = random_vae(latent_size=1)
    z = np.linspace(-8, 8, 2001, dtype=np.float32)
    prior = -0.5 * z.astype(np.float64) ** 2 - 0.5 * np.log(2 * np.pi)
    expected = 0.0
    for ids in _ids(vae):
        joint = prior - negative_log_likelihoods(vae.latents, [ids] * len(z), z[:, None])
        expected -= joint.max() + np.log(np.exp(joint - joint.max()).sum() * (z[1] - z[0]))
    bounds = [vae.evaluate_sentences(SENTENCES, iw_samples=samples).iw_nll for samples in (1, 3000)]
    assert bounds[1] == pytest.approx(expected, rel=0.02)
    assert bounds[0] > bounds[1]


def test_a_sentence_is_scored_alone() -> None:
    vae = random_vae()
    together = vae.evaluate_sentences(SENTENCES[::-1])
    alone = [vae.evaluate_sentences([sentence]) for sentence in SENTENCES]
    for name in ("nll", "kl", "iw_nll"):
        assert getattr(together, name) == pytest.approx(
            sum(getattr(one, name) for one in alone), rel=1e-6
        )
    assert together == vae.evaluate_sentences(SENTENCES[::-1])
    assert together.to_json()["iw_nll_per_sentence"] == together.iw_nll / len(SENTENCES)


def test_a_sentence_of_unknown_words_only_is_scored_and_counted() -> None:
    vae = random_vae()
    found = vae.evaluate_sentences([*SENTENCES, "zebras gallop"])
    without = vae.evaluate_sentences(SENTENCES)
    assert (found.unknown_only, without.unknown_only) == (1, 0)
    assert found.unknown == without.unknown + 2
    unknown = vae.tokenizer.unknown_id
    alone = vae.evaluate_ids([np.array([unknown, unknown, vae.tokenizer.encode("\n")[0]])])
    assert found.iw_nll == pytest.approx(without.iw_nll + alone.iw_nll, rel=1e-6)
    with pytest.raises(InputError, match="knows no word of any of the sentences"):
        vae.evaluate_sentences(["zebras gallop", "zebras"])


def test_nothing_to_evaluate_is_refused() -> None:
    vae = random_vae()
    with pytest.raises(InputError, match="no sentence to evaluate"):
        vae.evaluate_sentences([])
    with pytest.raises(InputError, match="samples must be a whole number of at least 1"):
        vae.evaluate_sentences(SENTENCES, iw_samples=0)
