"""A map of a latent space: sentences projected to two dimensions, and sentences between them.

Shapes: N sentences, Z latent size, K landmarks.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from rondel.checked import Natural, Positive, checked
from rondel.engine.base import Floats
from rondel.errors import InputError, MissingExtraError
from rondel.generation.latent_points import path

PROJECTIONS = {
    "pca": "the two directions in which they differ most",
    "tsne": "neighbours side by side (needs scikit-learn)",
    "umap": "neighbours side by side, and groups apart (needs umap-learn)",
}
ROUNDS = 20
TOGETHER = 32
"""Paths decoded in one batch."""

Numbers = npt.NDArray[np.float64]


def project(points_NZ: Floats, how: str, seed: int = 1) -> tuple[Numbers, str]:
    """Project points to two dimensions (N, 2); also return how, in words.

    Raises `InputError` for fewer than three different points or an unknown projection, and
    `MissingExtraError` if what it needs is not installed.
    """
    if how not in PROJECTIONS:
        raise InputError(f"a projection is one of {', '.join(PROJECTIONS)}, not {how!r}")
    if len(np.unique(points_NZ, axis=0)) < 3:
        raise InputError("a picture needs at least three different sentences; give a longer text")
    points = points_NZ.astype(np.float64)
    if how == "pca":
        return _principal(points)
    count = len(points)
    if how == "tsne":
        module, settings = "sklearn.manifold", {"perplexity": min(30.0, (count - 1) / 3)}
        made = _library(module, "scikit-learn", how).TSNE(random_state=seed, init="pca", **settings)
    else:
        neighbours = min(15, count - 1)
        made = _library("umap", "umap-learn", how).UMAP(random_state=seed, n_neighbors=neighbours)
    return np.asarray(made.fit_transform(points), np.float64), f"laid out by {how.upper()}"


def _principal(points: Numbers) -> tuple[Numbers, str]:
    centred = points - points.mean(axis=0)
    _, scales, directions = np.linalg.svd(centred, full_matrices=False)
    flat = np.zeros((len(points), 2))
    flat[:, : min(2, len(directions))] = centred @ directions[:2].T
    share = (scales[:2] ** 2).sum() / (scales**2).sum()
    return flat, f"along the two principal components ({share:.0%} of how they differ)"


def _library(module: str, package: str, how: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise MissingExtraError(
            f"--projection {how} needs {package}: pip install {package}, or take pca"
        ) from None


def choose_landmarks(flat_N2: Numbers, count: int, seed: int = 1) -> npt.NDArray[np.intp]:
    """Choose representative points (K,): the nearest to each of the means of k-means."""
    rng = np.random.default_rng(seed)
    centres = flat_N2[rng.choice(len(flat_N2), min(count, len(flat_N2)), replace=False)]
    for _ in range(ROUNDS):
        of_N = _distances(flat_N2, centres).argmin(axis=1)
        for k in range(len(centres)):
            if (of_N == k).any():
                centres[k] = flat_N2[of_N == k].mean(axis=0)
    return np.unique(_distances(flat_N2, centres).argmin(axis=0))


def nearest_landmark(points_NZ: Floats, landmarks_K: npt.NDArray[np.intp]) -> list[int]:
    """Return, for each point, the index of the landmark nearest to it in the latent space."""
    points = points_NZ.astype(np.float64)
    nearest = _distances(points, points[landmarks_K]).argmin(axis=1)
    nearest[landmarks_K] = np.arange(len(landmarks_K))
    return [int(k) for k in nearest]


def _distances(points: Numbers, centres: Numbers) -> Numbers:
    squares: Numbers = (points**2).sum(axis=1)[:, None] - 2 * points @ centres.T
    squares += (centres**2).sum(axis=1)
    return squares


def write_paths(
    ends_KZ: Floats,
    steps: int,
    decode: Callable[[Floats], list[str]],
    watch: Callable[[float], None] = lambda fraction: None,
) -> tuple[list[str], list[list[str]]]:
    """Decode the landmarks, and the path between each pair of them without its ends."""
    pairs = list(itertools.combinations(range(len(ends_KZ)), 2))
    ends, paths = decode(ends_KZ), []
    inner = steps - 2
    for begin in range(0, len(pairs) if inner else 0, TOGETHER):
        some = pairs[begin : begin + TOGETHER]
        points = [path(ends_KZ[a], ends_KZ[b], steps)[1:-1] for a, b in some]
        texts = decode(np.concatenate(points))
        paths += [texts[n : n + inner] for n in range(0, len(texts), inner)]
        watch((begin + len(some)) / len(pairs))
    return ends, paths or [[] for _ in pairs]


class LandscapeKeywords(TypedDict, total=False):
    """What `SentenceVAE.landscape` takes beside the sentences, for type checkers."""

    projection: str
    landmarks: int
    steps: int
    seed: int
    watch: Callable[[float], None]


@checked
def landscape(
    sentences: Sequence[str],
    points_NZ: Floats,
    decode: Callable[[Floats], list[str]],
    *,
    projection: str = "pca",
    landmarks: Positive = 24,
    steps: Positive = 8,
    seed: Natural = 1,
    watch: Callable[[float], None] = lambda fraction: None,
) -> dict[str, Any]:
    """Compute all that the page shows, as plain JSON values."""
    flat_N2, how = project(points_NZ, projection, seed)
    chosen_K = choose_landmarks(flat_N2, landmarks, seed)
    ends, paths = write_paths(points_NZ[chosen_K], steps, decode, watch)
    return {
        "projection": how,
        "sentences": list(sentences),
        "x": np.round(flat_N2[:, 0], 4).tolist(),
        "y": np.round(flat_N2[:, 1], 4).tolist(),
        "landmarks": chosen_K.tolist(),
        "near": nearest_landmark(points_NZ, chosen_K),
        "steps": steps,
        "ends": ends,
        "paths": paths,
    }
