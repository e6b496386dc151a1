"""Verification trials among the crops of a batch: is it the same speaker twice?"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from timbrel.detection import error_curve


def equal_error_rate(same: Tensor, different: Tensor) -> float:
    """The equal error rate in 0..1, see `ErrorCurve`.

    Not a number where there are no pairs of either kind, or where training has diverged.

    Args:
        same, different: scores of pairs, (N,) and (M,); higher is more alike.
    """
    if not (len(same) and len(different) and same.isfinite().all() and different.isfinite().all()):
        return float("nan")
    return error_curve(same.cpu().numpy(), different.cpu().numpy()).equal_error_rate()


def pair_cosines(embeddings: Tensor, speakers: Tensor, ids: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Cosines of all pairs of different recordings: of one speaker (P,), of two (Q,).

    Args:
        embeddings: (B, E), of any length but 0.
        speakers: (B,) numbers.
        ids: of the recordings; two crops of one recording are no trial.
    """
    names = {name: index for index, name in enumerate(dict.fromkeys(ids))}
    recordings = torch.tensor([names[name] for name in ids], device=speakers.device)
    one, two = torch.triu_indices(len(ids), len(ids), offset=1, device=speakers.device)
    apart = recordings[one] != recordings[two]
    one, two = one[apart], two[apart]
    directions = functional.normalize(embeddings, dim=-1)
    cosines = (directions @ directions.T)[one, two]
    alike = speakers[one] == speakers[two]
    return cosines[alike], cosines[~alike]
