"""Pictures for the log, drawn by matplotlib."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from timbrel.wording import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: 20 colours, and with the markers 160 speakers that look different.
_COLOURS, _MARKERS = "tab20", "os^DvP*X"
_INCHES, _DOTS_PER_INCH = 5.0, 120


def embedding_map(embeddings: Tensor, speakers: Tensor) -> Tensor:
    """Embeddings (B, E) on the plane of their two principal components, (3, H, W) in 0..1.

    Each of the speakers (B,), numbers, has a colour and a marker of its own. Good embeddings show
    islands; the title says how much of the variance the plane holds.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    points, share = principal_plane(embeddings)
    figure = Figure((_INCHES, _INCHES), dpi=_DOTS_PER_INCH, layout="constrained")
    axes, colours = figure.subplots(), colormaps[_COLOURS]
    names = speakers.unique().tolist()
    for number, speaker in enumerate(names):
        own = points[speakers == speaker].cpu().numpy()
        marker = _MARKERS[number // colours.N % len(_MARKERS)]
        axes.scatter(own[:, 0], own[:, 1], s=28, color=colours(number % colours.N), marker=marker)
    axes.set(xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title(f"{counted(len(names), 'speaker')}, {share:.0%} of the variance")
    return _rasterised(figure)


def principal_plane(points: Tensor) -> tuple[Tensor, float]:
    """Points (B, E) in the coordinates of their first two principal components, (B, 2), and the share
    of the variance that these hold, in 0..1."""
    centred = (points - points.mean(dim=0)).double()
    _, deviations, axes = torch.linalg.svd(centred, full_matrices=False)
    variances = deviations.square()
    return (centred @ axes[:2].T).float(), float(variances[:2].sum() / variances.sum().clamp(min=1e-30))


def _rasterised(figure: Figure) -> Tensor:
    buffer = BytesIO()
    figure.savefig(buffer, format="rgba")
    width, height = (round(inches * figure.dpi) for inches in figure.get_size_inches())
    pixels = np.frombuffer(buffer.getvalue(), np.uint8).reshape(height, width, 4)
    return torch.from_numpy(pixels[..., :3].copy()).permute(2, 0, 1).float() / 255


def save(picture: Tensor, path: Path) -> None:
    """Writes (3, H, W) in 0..1 as a PNG; makes its folder."""
    from matplotlib.image import imsave

    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, picture.clamp(0, 1).permute(1, 2, 0).cpu().numpy())
