"""The map of embeddings, and that the log keeps it."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch

from timbrel.train.log import Log
from timbrel.train.pictures import embedding_map, principal_plane
from timbrel.train.tasks import Preview


def test_the_plane_is_that_of_the_covariance() -> None:
    random = torch.Generator().manual_seed(0)
    points = torch.randn(50, 6, generator=random) * torch.tensor([5.0, 0.1, 3.0, 1.0, 0.5, 0.2]) + 7
    plane, share = principal_plane(points)
    variances, axes = np.linalg.eigh(np.cov(points.numpy().T))
    expected = (points.numpy() - points.numpy().mean(0)) @ axes[:, [-1, -2]]
    np.testing.assert_allclose(np.abs(plane.numpy()), np.abs(expected), atol=1e-4)
    assert share == pytest.approx(variances[-2:].sum() / variances.sum(), rel=1e-5)


def colours_in(picture: torch.Tensor) -> set[tuple[float, ...]]:
    pixels = (picture.permute(1, 2, 0).reshape(-1, 3) * 255).round().int()
    values, counts = pixels.unique(dim=0, return_counts=True)
    saturated = values.max(1).values - values.min(1).values > 40
    return {tuple(value.tolist()) for value in values[saturated & (counts > 50)]}


def test_every_speaker_has_a_colour_of_its_own() -> None:
    embeddings = torch.eye(8)[:6].repeat_interleave(2, dim=0)
    picture = embedding_map(embeddings, torch.arange(6).repeat_interleave(2))
    assert picture.shape[0] == 3
    assert 0 <= float(picture.min()) < float(picture.max()) <= 1
    assert len(colours_in(picture)) == 6
    alone = embedding_map(embeddings, torch.zeros(12, dtype=torch.long))
    assert len(colours_in(alone)) == 1


def test_the_log_keeps_pictures_as_files(tmp_path: Path) -> None:
    picture = torch.rand(3, 20, 30)
    log = Log(tmp_path, 0)
    log.preview(70, Preview(pictures={"embeddings": picture}))
    log.close()
    stored = matplotlib.image.imread(tmp_path / "pictures" / "embeddings-00000070.png")[..., :3]
    np.testing.assert_allclose(stored, picture.permute(1, 2, 0).numpy(), atol=1 / 255)
