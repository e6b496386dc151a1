"""The GE2E loss against the paper's formulas, written out as loops in double precision and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from timbrel.models.ge2e_loss import Form, GE2ELoss, centroid_cosines, scale_gradient


def cosine(one: np.ndarray, two: np.ndarray) -> float:
    return float(one @ two / (np.linalg.norm(one) * np.linalg.norm(two)))


def by_the_paper(embeddings: np.ndarray, scale: float, offset: float, form: Form) -> float:
    """Equations 5 to 9 with every utterance, speaker and centroid in a loop of its own; their mean."""
    speakers, utterances, _ = embeddings.shape
    total = 0.0
    for j in range(speakers):
        for i in range(utterances):
            similarity = []
            for k in range(speakers):
                kept = [m for m in range(utterances) if k != j or m != i]
                centroid = np.mean([embeddings[k, m] for m in kept], axis=0)
                similarity.append(scale * cosine(embeddings[j, i], centroid) + offset)
            if form == "softmax":
                total += -similarity[j] + math.log(sum(math.exp(value) for value in similarity))
            else:
                near = [1 / (1 + math.exp(-value)) for value in similarity]
                total += 1 - near[j] + max(near[k] for k in range(speakers) if k != j)
    return total / (speakers * utterances)


def unit_vectors(*shape: int) -> Tensor:
    points = torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return torch.nn.functional.normalize(points, dim=-1)


@pytest.mark.parametrize("form", ["softmax", "contrast"])
@pytest.mark.parametrize("shape", [(2, 2, 3), (4, 3, 8), (3, 5, 2)])
def test_the_loss_is_that_of_the_paper(form: Form, shape: tuple[int, int, int]) -> None:
    embeddings = unit_vectors(*shape)
    loss = GE2ELoss(form, scale=7.0, offset=-2.0).double()
    assert float(loss(embeddings).detach()) == pytest.approx(
        by_the_paper(embeddings.numpy(), 7.0, -2.0, form), abs=1e-12
    )


def test_two_speakers_worked_out_by_hand() -> None:
    # One speaker says (1, 0) twice, the other (0, 1) and (0.6, 0.8). The own centroid is the other
    # utterance; those of all are (1, 0) and (0.3, 0.9), which is 0.9487 long.
    embeddings = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.6, 0.8]]])
    expected = torch.tensor([[[1.0, 0.3162], [1.0, 0.3162]], [[0.0, 0.8], [0.6, 0.8]]])
    torch.testing.assert_close(centroid_cosines(embeddings), expected, atol=1e-4, rtol=0)
    # Twice ln(1 + exp(0.3162 - 1)) = 0.4086, then ln(1 + exp(-0.8)) = 0.3711, ln(1 + exp(-0.2)) = 0.5981.
    softmax = GE2ELoss("softmax", scale=1.0, offset=0.0)(embeddings)
    assert float(softmax.detach()) == pytest.approx((2 * 0.4086 + 0.3711 + 0.5981) / 4, abs=1e-4)
    # Sigmoids of 1, 0.3162, 0.8, 0, 0.6: 0.7311, 0.5784, 0.6900, 0.5, 0.6457.
    contrast = GE2ELoss("contrast", scale=1.0, offset=0.0)(embeddings)
    by_hand = (2 * (1 - 0.7311 + 0.5784) + (1 - 0.69 + 0.5) + (1 - 0.69 + 0.6457)) / 4
    assert float(contrast.detach()) == pytest.approx(by_hand, abs=1e-4)


@pytest.mark.parametrize("form", ["softmax", "contrast"])
def test_gradients_are_those_of_differences(form: Form) -> None:
    loss = GE2ELoss(form, scale=3.0, offset=-1.0, gradient_share=1.0).double()
    embeddings = unit_vectors(3, 2, 4).requires_grad_()
    assert torch.autograd.gradcheck(loss, (embeddings,))
    loss.zero_grad()
    loss(embeddings).backward()
    step, points = 1e-6, embeddings.detach().numpy()
    for name, high, low in (
        ("scale", (3 + step, -1.0), (3 - step, -1.0)),
        ("offset", (3, -1 + step), (3, -1 - step)),
    ):
        slope = (by_the_paper(points, *high, form) - by_the_paper(points, *low, form)) / (2 * step)
        assert float(loss.get_parameter(name).grad) == pytest.approx(slope, abs=1e-7)


def test_scale_and_offset_feel_a_hundredth_of_their_gradient() -> None:
    embeddings = unit_vectors(3, 2, 4)
    gradients = []
    for share in (1.0, 0.01):
        loss = GE2ELoss("contrast", gradient_share=share).double()
        loss(embeddings).backward()
        gradients.append(torch.stack([loss.scale.grad, loss.offset.grad]))
    torch.testing.assert_close(gradients[1], 0.01 * gradients[0])
    value = torch.tensor(0.1, requires_grad=True)
    assert torch.equal(scale_gradient(value, 0.01), value)


def test_the_scale_stays_above_zero() -> None:
    loss = GE2ELoss(scale=-0.5)
    loss.keep_positive()
    assert float(loss.scale.detach()) > 0
    loss = GE2ELoss(scale=4.0)
    loss.keep_positive()
    assert float(loss.scale.detach()) == 4.0


@pytest.mark.parametrize("shape", [(1, 3, 4), (3, 1, 4)])
def test_one_speaker_or_one_utterance_gives_nothing_to_compare(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 2 speakers and 2 utterances"):
        GE2ELoss()(torch.randn(*shape))
