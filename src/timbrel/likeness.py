"""How alike voices are: cosines of a speaker encoder's unit vectors, alone and in groups."""

from __future__ import annotations

import numpy as np


def unit(vector: np.ndarray) -> np.ndarray:
    """A vector (E,) at length 1; zeros stay zeros."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))


def cosine_of_groups(vectors: np.ndarray, first: np.ndarray) -> float:
    """Cosine of the means of two groups of vectors (N, E), `first` (N,) true in one of them.

    1 if one of them is empty.
    """
    if first.all() or not first.any():
        return 1.0
    return float(unit(vectors[first].mean(axis=0)) @ unit(vectors[~first].mean(axis=0)))


def parting(vectors: np.ndarray) -> float:
    """How far vectors (N, E) of unit length fall into two kinds: near 1 for one kind, less for two.

    The mean cosine between the two groups of `divide` over that within them; 1 where a group is empty or
    neither has two vectors.
    """
    first = divide(vectors)
    same = np.equal.outer(first, first) & ~np.eye(len(first), dtype=bool)
    other = np.not_equal.outer(first, first)
    if not same.any() or not other.any():
        return 1.0
    cosines = vectors @ vectors.T
    return float(cosines[other].mean() / cosines[same].mean())


def divide(vectors: np.ndarray) -> np.ndarray:
    """The two groups that vectors (N, E) fall into most readily, (N,) true in one of them.

    They lie on either side of the mean, along the direction of most variance.
    """
    centred = vectors - vectors.mean(axis=0)
    return np.asarray(np.linalg.svd(centred, full_matrices=False)[0][:, 0] > 0)
