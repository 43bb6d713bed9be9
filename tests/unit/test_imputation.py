"""What a sentence VAE puts into gaps: held against trying every word there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from _sentence_vae import LONGEST, random_vae

from rondel.errors import InputError
from rondel.generation.sampling.sampler import draw_latents
from rondel.generation.search.filling import FillSettings
from rondel.generation.search.imputation import SAMPLES, impute


@pytest.fixture(scope="module", params=[False, True], ids=["state", "every input"])
def vae(request):
    return random_vae(latent_input=request.param)


def bound(vae, sentence, seed=1):
    """ln of the mean of p(x|z) p(z) / q(z|x) over draws from q(z|x), step by step."""
    ids = vae.tokenizer.encode(f"\n{sentence}\n")
    mean, log_variance = (part[0].astype(np.float64) for part in vae.latents.encode([ids[1:]]))
    ratios = []
    for noise in draw_latents(seed, SAMPLES, len(mean)):
        z = mean + np.exp(log_variance / 2) * noise
        total = -0.5 * (z**2).sum() + 0.5 * (noise.astype(np.float64) ** 2 + log_variance).sum()
        state = vae.latents.initial_state(z[None].astype(np.float32))
        for token, following in itertools.pairwise(ids.tolist()):
            logits_1V, state = vae.latents.decoder.step(np.array([token]), state)
            logits = logits_1V[0].astype(np.float64)
            total += logits[following] - np.log(np.exp(logits).sum())
        ratios.append(total)
    return np.log(np.mean(np.exp(ratios)))


def words(vae):
    tokenizer = vae.tokenizer
    names = [tokenizer.token(i) for i in range(tokenizer.vocab_size) if i != tokenizer.unknown_id]
    return [name for name in names if name.isalpha()]


@pytest.mark.parametrize("sentence", ["A ___ rides a horse.", "___ people sit", "A dog ___"])
def test_one_word_is_the_best_of_all_and_the_figure_its_bound(vae, sentence):
    found = vae.fill(sentence, length=1, best=5, width=60)
    assert [one.log_probability for one in found] == sorted(
        (one.log_probability for one in found), reverse=True
    )
    # A mark that leans on its neighbour is other tokens when the text is read again.
    plain = [one for one in found if one.fillings[0].strip().isalpha()]
    assert plain
    for one in plain:
        assert one.text == sentence.replace("___", one.fillings[0].strip())
        assert one.log_probability == pytest.approx(bound(vae, one.text), abs=1e-3)
    every = {word: bound(vae, sentence.replace("___", word)) for word in words(vae)}
    assert found[0].log_probability >= max(every.values()) - 1e-3


def test_a_gap_may_have_any_number_of_words_up_to_a_limit(vae):
    found = vae.fill("A man ___ a horse.", max_length=3, best=200, width=30)
    lengths = {len(vae.tokenizer.encode(one.fillings[0])) for one in found}
    assert lengths == {1, 2, 3}
    assert len({one.text for one in found}) == len(found)
    assert all(one.text.startswith("A man") and one.text.endswith("a horse.") for one in found)


def test_several_gaps_are_filled_together(vae):
    found = vae.fill("A ___ runs on the ___", length=1, best=20)
    plain = [one for one in found if all(word.strip().isalpha() for word in one.fillings)]
    assert plain
    for one in plain:
        first, second = (word.strip() for word in one.fillings)
        assert one.text == f"A {first} runs on the {second}"
        assert one.log_probability == pytest.approx(bound(vae, one.text), abs=1e-3)


def test_the_same_seed_gives_the_same_and_nothing_is_sampled_in_vain(vae):
    settings = FillSettings(length=1, sweeps=0)
    told = []
    one = impute(vae.latents, vae.tokenizer, "A ___ dog", settings, LONGEST, told.append)
    assert one == impute(vae.latents, vae.tokenizer, "A ___ dog", settings, LONGEST)
    assert told == [1.0]


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("A man rides a horse.", "no gap"),
        ("A man\nrides ___", "more than one line"),
        ("A m___n rides", "part of one"),
        (" ".join(["dog"] * LONGEST) + " ___", "shorten it"),
    ],
)
def test_what_cannot_be_filled_is_refused(vae, sentence, told):
    with pytest.raises(InputError, match=told):
        vae.fill(sentence)


def test_a_gap_longer_than_there_is_room_for_is_refused(vae):
    room = LONGEST - 3
    assert vae.fill("A man ___ horse", length=room, sweeps=0)
    with pytest.raises(InputError, match=f"may have {room} together.*give a smaller length"):
        vae.fill("A man ___ horse", length=room + 1)


def test_a_gap_beside_many_words_has_no_more_than_there_is_room_for(vae):
    found = vae.fill(" ".join(["dog"] * (LONGEST - 1)) + " ___", best=50)
    assert {len(vae.tokenizer.encode(one.fillings[0])) for one in found} == {1}
