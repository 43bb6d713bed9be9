"""Generation: what is drawn, what is shown, and that the same seed gives the same text."""

from __future__ import annotations

import itertools
import pydoc_data.topics

import numpy as np
import pytest
from _settings import model_config, text_config

from rondel.engine import NumpyEngine
from rondel.errors import InputError, ModelFolderError
from rondel.generation.generate import generate
from rondel.generation.generation_settings import GenerationSettings
from rondel.generation.sampling.sampler import History
from rondel.text.tokenizers import tokenizers, train_tokenizer

PROSE = pydoc_data.topics.topics["assignment"]
INF = np.inf


def bigram_engine(table_VV: np.ndarray) -> NumpyEngine:
    """A model whose logits after a token are that token's row: its state is the last token."""
    size = len(table_VV)
    config = model_config(
        cell="rnn",
        nonlinearity="relu",
        num_layers=1,
        hidden_size=size,
        embedding_size=0,
        vocab_size=size,
    )
    identity, zeros = np.eye(size, dtype=np.float32), np.zeros(size, np.float32)
    weights = {
        "core.weight_ih_l0": identity,
        "core.weight_hh_l0": np.zeros((size, size), np.float32),
        "core.bias_ih_l0": zeros,
        "core.bias_hh_l0": zeros,
        "head.weight": np.ascontiguousarray(table_VV.T, dtype=np.float32),
        "head.bias": zeros,
    }
    return NumpyEngine(config, weights)


def random_engine(vocab_size: int, seed: int = 0, hidden: int = 16) -> NumpyEngine:
    rng = np.random.default_rng(seed)
    shapes = {
        "core.weight_ih_l0": (4 * hidden, vocab_size),
        "core.weight_hh_l0": (4 * hidden, hidden),
        "core.bias_ih_l0": (4 * hidden,),
        "core.bias_hh_l0": (4 * hidden,),
        "head.weight": (vocab_size, hidden),
        "head.bias": (vocab_size,),
    }
    weights = {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}
    config = model_config(num_layers=1, hidden_size=hidden, embedding_size=0, vocab_size=vocab_size)
    return NumpyEngine(config, weights)


def chain(tokenizer, *texts: str) -> NumpyEngine:
    """A bigram model that says the tokens of each text one after the other, and then again."""
    table = np.zeros((tokenizer.vocab_size, tokenizer.vocab_size))
    for text in texts:
        ids = tokenizer.encode(text).tolist()
        for before, after in zip(ids, ids[1:] + ids[:1], strict=True):
            table[before, after] = 50
    return bigram_engine(table)


class Watched:
    """An engine that counts its steps and notes how long its sequences are."""

    def __init__(self, engine: NumpyEngine) -> None:
        self.engine, self.steps, self.lengths = engine, 0, []
        self.initial_state = engine.initial_state

    def streams(self, capacity, forbidden):
        return self.engine.streams(capacity, forbidden)

    def step(self, tokens_B, state):
        self.steps += 1
        return self.engine.step(tokens_B, state)

    def advance(self, tokens_TB, state):
        self.lengths.append(len(tokens_TB))
        return self.engine.advance(tokens_TB, state)

    def sequence(self, tokens_TB, state):
        raise AssertionError("a prime needs no logits but its last")


@pytest.fixture(scope="module")
def chars():
    return train_tokenizer(PROSE, text_config())


@pytest.fixture(scope="module")
def engine(chars):
    return random_engine(chars.vocab_size)


def text_of(engine, tokenizer, prime, index=0, **settings) -> str:
    return "".join(generate(engine, tokenizer, GenerationSettings(**settings), prime, index))


@pytest.mark.parametrize("rules", [{}, {"temperature": 0.5}, {"top_p": 0.9}, {"top_k": 3}])
@pytest.mark.parametrize("mode", ["sample", "argmax", "beam"])
def test_a_model_of_broken_weights_is_refused(chars, mode, rules):
    broken = bigram_engine(np.full((chars.vocab_size, chars.vocab_size), np.nan))
    with pytest.raises(ModelFolderError, match="not a finite number"):
        text_of(broken, chars, "The", length=2, mode=mode, rules=rules)


def test_samples_come_as_often_as_the_model_says():
    tokenizer = train_tokenizer("abcd", text_config())
    probabilities = np.array([0.05, 0.15, 0.3, 0.5])
    table = np.tile(np.log([0.4, *(0.6 * probabilities)]), (5, 1))
    text = text_of(bigram_engine(table), tokenizer, "a", length=20_000, seed=1)
    shares = np.array([text.count(letter) for letter in "abcd"]) / 20_000
    spread = np.sqrt(probabilities * (1 - probabilities) / 20_000)
    assert (np.abs(shares - probabilities) < 4 * spread).all(), shares


# Seeds


def test_the_same_seed_gives_the_same_text(engine, chars):
    first = text_of(engine, chars, "The ", length=200, seed=7)
    assert text_of(engine, chars, "The ", length=200, seed=7) == first
    assert text_of(engine, chars, "The ", length=200, seed=8) != first
    assert len(first) == 200


def test_a_sample_is_the_same_whatever_others_there_are(engine, chars):
    settings = {"length": 60, "seed": 7}
    alone = text_of(engine, chars, "The ", 2, **settings)
    three = [text_of(engine, chars, "The ", index, **settings) for index in range(3)]
    assert three[2] == alone
    assert len(set(three)) == 3


def test_two_streams_at_once_do_not_mix(engine, chars):
    settings = GenerationSettings(length=50, seed=7)
    streams = [generate(engine, chars, settings, "The ", index) for index in range(2)]
    together = [[], []]
    for pieces in zip(*streams, strict=True):
        for texts, piece in zip(together, pieces, strict=True):
            texts.append(piece)
    for index, pieces in enumerate(together):
        assert "".join(pieces) == text_of(engine, chars, "The ", index, length=50, seed=7)


def test_no_seed_is_another_text_each_time(engine, chars):
    assert text_of(engine, chars, "The ", length=200) != text_of(engine, chars, "The ", length=200)


# Modes and rules


def test_argmax_is_temperature_zero_and_top_k_one(engine, chars):
    likeliest = text_of(engine, chars, "The ", length=100, mode="argmax")
    assert text_of(engine, chars, "The ", length=100, rules={"temperature": 0}) == likeliest
    assert text_of(engine, chars, "The ", length=100, rules={"top_k": 1}) == likeliest


def test_spaces_draws_only_after_a_space(engine, chars):
    table = np.random.default_rng(2).normal(0, 1, (chars.vocab_size,) * 2)
    space = chars.encode(" ")[0]
    table[:, space] += 2.5
    text = "x" + text_of(bigram_engine(table), chars, "x", length=2000, mode="spaces", seed=1)
    table[:, chars.unknown_id] = -INF
    after_space = set()
    for before, after in itertools.pairwise(chars.encode(text).tolist()):
        if chars.token(before).isspace():
            after_space.add(after)
        else:
            assert after == table[before].argmax()
    assert len(after_space) > 20


def test_rules_see_the_prime_and_what_was_made_since():
    tokenizer = train_tokenizer("abcd", text_config())
    flat = bigram_engine(np.ones((5, 5)))
    text = text_of(flat, tokenizer, "b", length=3, mode="argmax", rules={"repetition_penalty": 2})
    assert text == "acd"


def test_the_unknown_token_is_never_made(chars):
    table = np.zeros((chars.vocab_size, chars.vocab_size))
    table[:, chars.unknown_id] = 100
    for mode in ("sample", "argmax", "spaces", "beam"):
        text = text_of(bigram_engine(table), chars, "The ☃", length=30, mode=mode)
        assert len(text) == 30
        assert not chars.unknowns(text)


def test_a_vocabulary_of_nothing_known_is_refused():
    only_unknown = tokenizers["char"]("text", "")
    with pytest.raises(InputError, match="no token but the unknown one"):
        generate(bigram_engine(np.ones((1, 1))), only_unknown, GenerationSettings(), "a")


# Primes


@pytest.mark.parametrize("mode", ["sample", "beam"])
def test_an_empty_prime_is_refused_at_once(engine, chars, mode):
    with pytest.raises(InputError, match="give a prime"):
        generate(engine, chars, GenerationSettings(mode=mode), "")


@pytest.mark.parametrize("length", [1, 2, 256, 257, 258, 1000])
def test_a_long_prime_is_read_in_bounded_chunks_and_to_its_end(engine, chars, length):
    prime = PROSE[:length]
    watched = Watched(engine)
    text = text_of(watched, chars, prime, length=5, mode="argmax")
    assert sum(watched.lengths) == length - 1
    assert max(watched.lengths, default=0) <= 256
    state, ids = engine.initial_state(), chars.encode(prime).tolist()
    for _ in range(5):
        logits, _ = engine.sequence(np.array(ids)[:, None], state)
        logits[-1, 0, chars.unknown_id] = -INF
        ids.append(int(logits[-1, 0].argmax()))
    assert text == chars.decode(ids[length:])


@pytest.mark.parametrize("level", tokenizers)
@pytest.mark.parametrize("mode", ["argmax", "beam"])
def test_pieces_continue_the_prime_as_one_text(level, mode):
    tokenizer = train_tokenizer(PROSE, text_config(level=level, min_count=1))
    model = random_engine(tokenizer.vocab_size, seed=4)
    prime = PROSE[:120].rstrip()
    text = text_of(model, tokenizer, prime, length=40, mode=mode, beam_width=1)
    state, ids = model.initial_state(), tokenizer.encode(prime).tolist()
    for _ in range(40):
        logits = model.sequence(np.array(ids)[:, None], state)[0][-1, 0]
        if tokenizer.unknown_id is not None:
            logits[tokenizer.unknown_id] = -INF
        ids.append(int(logits.argmax()))
    assert prime + text == tokenizer.decode(ids)


@pytest.fixture(scope="module", params=["punctuation", "spaces", "tokens"])
def words(request):
    config = text_config(level="word", word_split=request.param, min_count=1)
    return train_tokenizer("The cat sat on the mat (a mat) .\nThe cat sat .", config)


@pytest.mark.parametrize(
    ("prime", "continued"),
    [
        ("The", " cat sat"),
        ("The ", "cat sat"),
        ("The  ", "cat sat"),
        ("\nThe ", "cat sat"),
        (" The ", "cat sat"),
        ("Zebra ", "cat sat"),
        ("The cat", " sat ."),
        ("mat \n", "cat sat"),
    ],
)
@pytest.mark.parametrize("mode", ["argmax", "beam"])
def test_words_go_on_with_one_space(words, prime, continued, mode):
    model = chain(words, "The cat sat .")
    # After white space of any kind, known or not, and after the unknown, comes "cat".
    table = model.head.weight_VH.T.copy()
    cat = words.encode("cat")[0]
    for before in [words.unknown_id, *words.encode("a\n")[-1:], *words.encode("a ")[-1:]]:
        table[before] = np.eye(len(table))[cat] * 50
    text = text_of(bigram_engine(table), words, prime, length=2, mode=mode)
    assert text == continued


def test_a_space_is_a_character_like_others(chars):
    model = chain(chars, "a b")
    assert text_of(model, chars, "a", length=3, mode="argmax") == " ba"
    assert text_of(model, chars, "a ", length=3, mode="argmax") == "ba "


def test_bytes_are_shown_as_whole_characters():
    tokenizer = tokenizers["byte"]()
    model = chain(tokenizer, "aé€")
    pieces = list(generate(model, tokenizer, GenerationSettings(length=6, mode="argmax"), "a"))
    assert pieces == ["é", "€", "a"]
    # Bytes of a character that is not whole are those bytes.
    assert text_of(model, tokenizer, "a", length=4, mode="argmax") == "é\udce2\udc82"
    # A prime that ends within a character: it is not written again with the next bytes.
    assert text_of(model, tokenizer, "a\udcc3", length=4, mode="argmax") == "\udca9€"


# Streaming and stopping


@pytest.mark.parametrize("mode", ["sample", "argmax", "spaces", "beam"])
def test_text_streams_as_it_is_made(engine, chars, mode):
    watched = Watched(engine)
    settings = GenerationSettings(length=100, mode=mode, seed=1, beam_width=1)
    pieces = generate(watched, chars, settings, "The ")
    assert len(next(pieces)) == 1
    assert watched.steps == 1
    assert len(next(pieces)) == 1
    assert watched.steps == 2
    assert len("".join(pieces)) == 98
    assert watched.steps == 100


@pytest.mark.parametrize("mode", ["sample", "argmax", "beam"])
def test_a_stop_string_ends_the_text(chars, mode):
    watched = Watched(chain(chars, "abcdefgh"))
    settings = {"length": 50, "mode": mode, "seed": 1}
    assert text_of(watched, chars, "a", **settings, stop=("ef", "xyz")) == "bcd"
    assert watched.steps == 5
    assert text_of(watched, chars, "a", **settings, stop=("ab",)) == "bcdefgh"
    assert text_of(watched, chars, "a", length=5, mode=mode, stop=("fgh",)) == "bcdef"


def test_the_prime_does_not_stop_the_text(chars):
    model = chain(chars, "abcd")
    assert text_of(model, chars, "ab", length=5, mode="argmax", stop=("bc",)) == "cda"


# Settings


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"length": 0}, "length must be a whole number of at least 1, not 0"),
        ({"length": 1.5}, "length must be a whole number of at least 1, not 1.5"),
        ({"length": True}, "length must be a whole number of at least 1, not True"),
        ({"beam_width": 0}, "beam_width must be a whole number of at least 1, not 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
        ({"seed": "x"}, "seed must be a whole number of at least 0, not 'x'"),
        ({"mode": "best"}, "mode is one of sample, argmax, spaces, beam, not 'best'"),
        ({"mode": ["beam"]}, "mode must be a string (str), not ['beam']"),
        ({"stop": "END"}, "stop must be a list of strings, not 'END'"),
        ({"stop": (1,)}, "number 0 of stop must be a string (str), not 1"),
        ({"stop": None}, "stop must be a list of strings, not None"),
        (
            {"stop": ("a", "")},
            "stop has an empty string in it, which ends every text; leave it out",
        ),
        (
            {"rules": {"temperature": -1}},
            "temperature must be a number, at least 0, not -1",
        ),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_by_name(wrong, message):
    with pytest.raises(InputError) as caught:
        GenerationSettings(**wrong)
    assert str(caught.value) == message


def test_settings_keep_what_they_were_given():
    rules, stop = {"temperature": 0.5}, ["a"]
    settings = GenerationSettings(rules=rules, stop=stop)
    rules["temperature"], stop[0] = -1, ""
    assert settings == GenerationSettings(rules={"temperature": 0.5}, stop=("a",))


def test_history_grows():
    history = History(np.array([3, 1], np.int32))
    for token in range(100):
        history.append([token])
    assert history.followed_by([7, 8]).tolist() == [3, 1, *range(100), 7, 8]
    assert history.followed_by().tolist() == [3, 1, *range(100)]
