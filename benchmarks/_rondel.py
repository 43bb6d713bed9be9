"""All that the benchmarks know of rondel's insides, in one place."""

from __future__ import annotations

import inspect
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import rondel
from rondel import artifact, reference
from rondel.cells import cells
from rondel.data.batches import Batch, Cursor, stream_batches
from rondel.data.facts import TextFacts
from rondel.settings import RunConfig, Settings, TextConfig
from rondel.text.tokenizers.char import CharTokenizer
from rondel.training.resolve import resolve

Arrays = Mapping[str, npt.NDArray[Any]]
Ids = npt.NDArray[np.int64]

VOCABULARY = 65
TEMPERATURE = 0.8
PRIME = "A"


class Shape(NamedTuple):
    """A model, and the batch it is trained with (batch 1 of 1 step where it only samples)."""

    cell: str
    layers: int
    hidden: int
    batch: int = 1
    steps: int = 1
    vocabulary: int = VOCABULARY

    @property
    def model(self) -> str:
        return f"{self.cell} {self.layers}×{self.hidden}"

    @property
    def label(self) -> str:
        return f"{self.model}, B {self.batch}, T {self.steps}"

    @property
    def recurrent_weights(self) -> int:
        """What a token is multiplied by when layer one's input gates are looked up."""
        gates = len(cells[self.cell].gates)
        return gates * self.hidden**2 * (2 * self.layers - 1) + self.hidden * self.vocabulary

    @property
    def training_flops(self) -> int:
        """Of a token's matmuls: one forwards, two backwards, two operations a weight."""
        return 6 * self.recurrent_weights


def configured(shape: Shape, **settings: Any) -> RunConfig:
    """The settings of a model whose embedding is as wide as its layers.

    With a softmax for words, the vocabulary is one of words, and nothing is dropped.
    """
    if "softmax" in settings:
        settings = {"level": "word", "dropout": 0.0, **settings}
    given = Settings(
        {
            "cell": shape.cell,
            "num_layers": shape.layers,
            "hidden_size": shape.hidden,
            "embedding_size": shape.hidden,
            "batch_size": shape.batch,
            "seq_length": shape.steps,
            "steps": 1,
            "device": "cpu",
            **settings,
        }
    )
    return resolve(given, TextFacts(shape.vocabulary, train=10**7))


def random_batch(shape: Shape) -> tuple[Ids, Ids]:
    """Inputs and targets (T, B)."""
    ids = np.random.default_rng(1).integers(
        0, shape.vocabulary, (2, shape.steps, shape.batch), dtype=np.int64
    )
    return ids[0], ids[1]


class Kernels:
    """Forward and backward of the language model, without the optimiser."""

    def __init__(self, shape: Shape, threads: int) -> None:
        import torch

        from rondel.models.base import TensorBatch
        from rondel.models.language_model_module import LanguageModel

        torch.set_num_threads(threads)
        torch.manual_seed(1)
        self._model = LanguageModel(configured(shape).model).train()
        inputs_TB, targets_TB = random_batch(shape)
        self._batch = TensorBatch(torch.from_numpy(inputs_TB), torch.from_numpy(targets_TB))
        self._state = self._model.initial_state(shape.batch)

    def run(self, count: int) -> None:
        for _ in range(count):
            self._model.zero_grad(set_to_none=True)
            terms, _ = self._model.losses(self._batch, self._state, 0)
            sum(terms.values()).backward()

    def weights(self) -> Arrays:
        return self._model.export()

    def gradients(self) -> Arrays:
        self.run(1)
        arrays = self._model.named_arrays()
        return {name: array.grad.numpy() for name, array in arrays.items()}


class Training:
    """Whole steps, as `rondel train` takes them: data, forward, backward, clipping, optimiser."""

    def __init__(
        self,
        shape: Shape,
        ids: Ids,
        learning_rate: float,
        threads: int | None,
        settings: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        from rondel.training.torch_learner import TorchLearner

        self._learner = TorchLearner(configured(shape, threads=threads, **settings))
        self._batches = stream_batches(ids, shape.batch, shape.steps, Cursor())
        self._learning_rate = learning_rate

    def run(self, count: int) -> None:
        for _ in range(count):
            self.step()

    def step(self) -> float:
        batch, _ = next(self._batches)
        return self._learner.step(batch, self._learning_rate).loss

    def losses(self, count: int) -> list[float]:
        return [self.step() for _ in range(count)]

    def weights(self) -> Arrays:
        return self._learner.weights()

    def step_on(self, inputs_TB: Ids, targets_TB: Ids) -> float:
        return self._learner.step(Batch(inputs_TB, targets_TB, True), self._learning_rate).loss

    def logits(self, tokens_TB: Ids) -> npt.NDArray[Any]:
        """What the model gives (T, B, V) from the zero state, by the engine."""
        from rondel.engine import NumpyEngine

        engine = NumpyEngine(self._learner.model.config, self._learner.weights())
        return engine.sequence(tokens_TB, engine.initial_state(tokens_TB.shape[1]))[0]


def write_model(
    folder: Path, shape: Shape, settings: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """A model folder with weights drawn at random, and a vocabulary of as many characters."""
    import torch

    from rondel.models.language_model_module import LanguageModel

    torch.manual_seed(1)
    config = configured(shape, **settings).model
    weights = LanguageModel(config).export()
    # Untrained logits are all about the same. These differ by as much as a trained model's.
    for name in ("head.weight", "head.head.weight"):
        if name in weights:
            weights[name] *= 6
    characters = "".join(map(chr, range(32, 32 + shape.vocabulary - 1)))
    artifact.save(folder, artifact.Artifact(config, CharTokenizer("text", characters), weights))


def precisions() -> list[str]:
    """How a model can be loaded."""
    return (
        ["fp32", "int8"] if "precision" in inspect.signature(rondel.load).parameters else ["fp32"]
    )


def load(folder: Path, precision: str = "fp32") -> rondel.Model:
    return rondel.load(folder) if precision == "fp32" else rondel.load(folder, precision=precision)


def weights_of(folder: Path) -> Arrays:
    return dict(load(folder).weights)


class Sampling:
    """One stream, as `Model.sample` writes it."""

    def __init__(self, folder: Path, precision: str = "fp32") -> None:
        self._model = load(folder, precision)

    def run(self, count: int) -> None:
        self._model.sample(PRIME, length=count, seed=1, temperature=TEMPERATURE)

    def weights(self) -> Arrays:
        return dict(self._model.weights)

    def logits(self, ids: Ids) -> npt.NDArray[Any]:
        """After each token (N, V), step by step."""
        engine, rows = self._model._engine, []
        state = engine.initial_state()
        for token in ids:
            logits_1V, state = engine.step(np.array([token]), state)
            rows.append(logits_1V[0])
        return np.stack(rows)


class Streams:
    """Many streams at once, as `Model.sample_many` writes them; a step of all is a unit of work."""

    def __init__(self, folder: Path, streams: int) -> None:
        self._model = load(folder)
        self._streams = streams

    def run(self, count: int) -> None:
        primes = [PRIME] * self._streams
        self._model.sample_many(primes, length=count, seed=1, temperature=TEMPERATURE)

    def logits(self, tokens_TB: Ids) -> npt.NDArray[Any]:
        """After each step (T, B, V)."""
        engine, rows = self._model._engine, []
        state = engine.initial_state(self._streams)
        for tokens_B in tokens_TB:
            logits_BV, state = engine.step(tokens_B, state)
            rows.append(logits_BV)
        return np.stack(rows)


class Reference:
    """One stream through the plain-NumPy reference."""

    def __init__(self, shape: Shape, weights: Arrays) -> None:
        self._model = reference.Model(reference.make_cell(shape.cell), dict(weights))
        self._rng = np.random.default_rng(1)

    def run(self, count: int) -> None:
        state, token = self._model.initial_state(1), 1
        for _ in range(count):
            logits_TBV, state, _ = self._model.forward(np.array([[token]]), state)
            logits_V = logits_TBV[0, 0] / TEMPERATURE
            weights_V = np.exp(logits_V - logits_V.max()).cumsum()
            token = int(weights_V.searchsorted(self._rng.random() * weights_V[-1]))

    def logits(self, ids: Ids) -> npt.NDArray[Any]:
        """After each token (N, V)."""
        logits_TBV: npt.NDArray[Any]
        logits_TBV, _, _ = self._model.forward(ids[:, None], self._model.initial_state(1))
        return logits_TBV[:, 0]


class Prepared(NamedTuple):
    """What it took to make a token store of a text."""

    seconds: float
    tokens: int
    peak_bytes: int


def prepare(source: Path, folder: Path) -> Prepared:
    """Read a text, make a vocabulary, encode and store it, as the beginning of a run does."""
    from rondel.data.sources import source_of
    from rondel.data.text_source import Preparation
    from rondel.kinds import kinds

    begin = time.perf_counter()
    prepared = source_of([str(source)]).prepare(
        Preparation(kinds["language-model"], TextConfig(), 1, folder)
    )
    seconds = time.perf_counter() - begin
    tokens = sum(split.tokens for split in prepared.store.splits.values())
    return Prepared(seconds, tokens, peak_memory())


class Trained(NamedTuple):
    """The best model of a run: its validation loss in nats per token, and its shape in words."""

    loss: float
    shape: str


def train(text: str, minutes: float, settings: Mapping[str, Any]) -> Trained:
    """Train on a text for so long, with these settings and no other."""
    model = rondel.train(text=text, minutes=minutes, quiet=True, **settings)
    shape = f"{model.config.cell} {model.config.num_layers}×{model.config.hidden_size}"
    if model.config.dropout:
        shape += f", dropout {model.config.dropout:g}"
    return Trained(float(model.progress["val_loss"]), shape)


def peak_memory() -> int:
    """The most memory this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():
        # What getrusage says on Linux counts what the process that started this one had.
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        assert found is not None
        return 1024 * int(found[1])
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
