"""Verification trials: is it the same speaker twice? And the rate at which that is answered wrongly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def equal_error_rate(same: Tensor, different: Tensor) -> float:
    """The share of errors at the threshold where as many pairs of one speaker are refused as of two are
    accepted, in 0..1; not a number where there are no pairs of either kind.

    Both rates are steps of the threshold; where they pass each other between two scores, the point is on
    the straight line between the two steps, as in a drawn ROC.

    Args:
        same, different: scores of pairs, (N,) and (M,); higher is more alike.
    """
    if not (len(same) and len(different)):
        return float("nan")
    scores = torch.cat([same, different]).unique()
    refused = torch.searchsorted(same.sort().values, scores).double() / len(same)
    accepted = 1 - torch.searchsorted(different.sort().values, scores).double() / len(different)
    # Above all scores every pair is refused.
    refused, accepted = functional.pad(refused, (0, 1), value=1.0), functional.pad(accepted, (0, 1))
    gap = refused - accepted
    after = int((gap >= 0).int().argmax())
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float(refused[before] + share * (refused[after] - refused[before]))


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
    cosines = (directions[one] * directions[two]).sum(dim=-1)
    alike = speakers[one] == speakers[two]
    return cosines[alike], cosines[~alike]
