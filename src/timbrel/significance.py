"""Several tests at once: what is left of a p-value when others were tried beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(chances: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted for their number, in the order given (Holm 1979, "A simple sequentially rejective
    multiple test procedure"): those at most 0.05 reject together, with an error in any of them at most 5 %.

    The smallest of m is multiplied by m, the next by m - 1, and so on; none falls below the one before it.
    What could not be tested, None, stays None and is none of the m.
    """
    values = np.array([p for p in chances if p is not None], dtype=np.float64)
    order = np.argsort(values, kind="stable")
    raised = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(raised, 1.0)
    rest = iter(adjusted.tolist())
    return [None if p is None else next(rest) for p in chances]
