"""Pictures of a report, drawn by matplotlib: PNG bytes, each with words for those who cannot see it."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from timbrel.errors import ConfigError
from timbrel.reporting.page import Picture
from timbrel.verification.evaluation import Evaluation
from timbrel.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 110
#: Up to so many speakers, each cell of a heatmap has its number, and each row its name.
_NUMBERED, _NAMED = 12, 40
#: Of more recordings a map shows so many, spread evenly.
MOST_POINTS = 1000
_LEAST_POINTS = 5
_COLOURS, _MARKERS = "tab20", "os^DvP*X"
#: Error rates a DET curve shows, in per cent.
_TICKS = (0.01, 0.1, 0.5, 1, 2, 5, 10, 20, 40, 60, 80)


def require() -> None:
    """Raises ConfigError if what draws the pictures is not installed."""
    try:
        import matplotlib  # noqa: F401
        import sklearn  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"A report needs {error.name}, which is not installed: pip install 'timbrel[verify]'."
        ) from error


def heatmaps(found: Evaluation) -> list[Picture]:
    """Minimum, mean and maximum score of every pair of speakers; the three share one scale of colours."""
    order = _leaf_order(found.likeness.mean) if len(found.cells.names) > _NAMED else None
    tables = {
        "Minimum": found.likeness.minimum,
        "Mean": found.likeness.mean,
        "Maximum": found.likeness.maximum,
    }
    low, high = float(np.nanmin(found.likeness.minimum)), float(np.nanmax(found.likeness.maximum))
    return [_heatmap(name, table, found.cells.names, (low, high), order) for name, table in tables.items()]


def histogram(found: Evaluation) -> Picture:
    """How the scores of both kinds of pairs are distributed."""
    figure, axes = _figure(5.2, 3.4)
    widths = np.diff(found.edges)
    for counts, label, colour in (
        (found.different, f"two speakers ({counted(found.different_trials, 'pair')})", "tab:orange"),
        (found.same, f"one speaker ({counted(found.same_trials, 'pair')})", "tab:blue"),
    ):
        axes.bar(
            found.edges[:-1],
            counts / counts.sum(),
            widths,
            align="edge",
            alpha=0.6,
            label=label,
            color=colour,
        )
    axes.axvline(found.threshold, color="black", linestyle="--", label=f"threshold {found.threshold:.3f}")
    axes.set(xlabel="score", ylabel="share of the pairs")
    axes.legend(fontsize=8)
    words = (
        f"Histogram of scores. Two speakers lie around {_centre(found.edges, found.different):.2f}, one "
        f"speaker around {_centre(found.edges, found.same):.2f}; the threshold is {found.threshold:.3f}."
    )
    return Picture(_png(figure), "Scores of pairs of one speaker and of two", words)


def error_tradeoff(found: Evaluation) -> Picture:
    """The DET curve (Martin et al. 1997): both error rates on the scale of normal deviates."""
    from scipy.stats import norm

    figure, axes = _figure(4.2, 4.0)
    least = 0.5 * _TICKS[0] / 100
    curve = [
        norm.ppf(np.clip(rates, least, 1 - least))
        for rates in (found.curve.false_accepts, found.curve.false_rejects)
    ]
    axes.plot(*curve, color="tab:blue")
    chosen = (found.false_accepts.value, found.false_rejects.value)
    axes.plot(
        *norm.ppf(np.clip(chosen, least, 1 - least)), "o", color="black", label=f"threshold ({found.rule})"
    )
    places = norm.ppf(np.array(_TICKS) / 100)
    ends = float(norm.ppf(least)), float(norm.ppf(0.8))
    axes.plot(ends, ends, color="grey", linewidth=0.8, linestyle=":", label="equal error rates")
    names = [f"{tick:g}" for tick in _TICKS]
    axes.set(xticks=places, yticks=places, xticklabels=names, yticklabels=names, xlim=ends, ylim=ends)
    axes.set(xlabel="false accepts, %", ylabel="false rejects, %")
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8)
    words = (
        f"Detection error trade-off. Both error rates are equal at {found.equal_error_rate:.2%}; at the "
        f"threshold {chosen[0]:.2%} are accepted and {chosen[1]:.2%} refused in error."
    )
    return Picture(_png(figure), "DET curve", words)


def voice_map(values: np.ndarray, speakers: np.ndarray, names: Sequence[str]) -> Picture | None:
    """Recordings (R, E) on a plane by t-SNE (van der Maaten and Hinton 2008); None of fewer than five."""
    count = len(values)
    if count < _LEAST_POINTS:
        return None
    from matplotlib import colormaps

    kept = np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).round().astype(int))
    plane = _plane(values[kept])
    figure, axes = _figure(5.2, 4.8)
    colours, present = colormaps[_COLOURS], np.unique(speakers[kept])
    for place, speaker in enumerate(present):
        own = plane[speakers[kept] == speaker]
        marker = _MARKERS[place // colours.N % len(_MARKERS)]
        axes.scatter(own[:, 0], own[:, 1], s=18, color=colours(place % colours.N), marker=marker)
        if len(present) <= _NAMED:
            axes.annotate(names[speaker], own.mean(axis=0), fontsize=7, ha="center", parse_math=False)
    axes.set(xticks=[], yticks=[])
    shown = f"{len(kept):,} of " * (len(kept) < count) + counted(count, "recording")
    words = (
        f"Map of {shown} of {counted(len(present), 'speaker')}: recordings that sound alike lie near each "
        "other. Distances between far-apart groups mean nothing."
    )
    return Picture(_png(figure), f"Map of the voices (t-SNE, {shown})", words)


def score_pairs(to_target: np.ndarray, to_source: np.ndarray, threshold: float) -> Picture:
    """Scores of converted speech with its target and its source."""
    figure, axes = _figure(4.4, 4.2)
    axes.scatter(to_source, to_target, s=16, color="tab:blue")
    ends = (
        min(to_target.min(), to_source.min(), threshold) - 0.02,
        max(to_target.max(), to_source.max(), threshold) + 0.02,
    )
    axes.plot(ends, ends, color="grey", linewidth=0.8, linestyle=":", label="as near to both")
    axes.axhline(threshold, color="black", linestyle="--", label=f"accepted from {threshold:.3f} on")
    axes.set(xlabel="score with the source", ylabel="score with the target", xlim=ends, ylim=ends)
    axes.legend(fontsize=8)
    words = (
        f"Each conversion by its score with the source, {to_source.mean():.3f} on average, and with the "
        f"target, {to_target.mean():.3f}; {(to_target >= threshold).sum()} of {len(to_target)} reach the "
        "threshold."
    )
    return Picture(_png(figure), "Converted speech between source and target", words)


def _heatmap(
    name: str,
    table: np.ndarray,
    names: Sequence[str],
    limits: tuple[float, float],
    order: np.ndarray | None,
) -> Picture:
    figure, axes = _figure(4.6, 4.0)
    places = np.arange(len(names)) if order is None else order
    ordered = table[np.ix_(places, places)]
    image = axes.imshow(ordered, vmin=limits[0], vmax=limits[1], cmap="viridis", interpolation="nearest")
    figure.colorbar(image, ax=axes, shrink=0.85)
    if len(names) <= _NAMED:
        labels = [names[place] for place in places.tolist()]
        # A name may hold dollars, which are no formula.
        axes.set_xticks(range(len(names)), labels, rotation=90, fontsize=8, parse_math=False)
        axes.set_yticks(range(len(names)), labels, fontsize=8, parse_math=False)
    else:
        axes.set(xticks=[], yticks=[])
    if len(names) <= _NUMBERED:
        _number(axes, ordered, limits)
    return Picture(_png(figure), f"{name} similarity", _heatmap_words(name, table))


def _plane(values: np.ndarray) -> np.ndarray:
    """(R, E) -> (R, 2)."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(values) - 1) / 3)
    placed: np.ndarray = TSNE(
        perplexity=perplexity, metric="cosine", init="pca", random_state=0
    ).fit_transform(values)
    return placed


def _number(axes: Axes, table: np.ndarray, limits: tuple[float, float]) -> None:
    """Writes the values into the cells, dark on bright and bright on dark."""
    middle = (limits[0] + 2 * limits[1]) / 3
    for (row, column), value in np.ndenumerate(table):
        if np.isfinite(value):
            colour = "black" if value > middle else "white"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)


def _heatmap_words(name: str, table: np.ndarray) -> str:
    own, between = np.diagonal(table), table[np.triu_indices(len(table), 1)]
    parts = [
        f"{np.nanmin(values):.2f} to {np.nanmax(values):.2f} {where}"
        for values, where in ((own, "within one speaker"), (between, "between two"))
        if np.isfinite(values).any()
    ]
    return f"{name} similarity of every pair of {len(table)} speakers or groups: {', '.join(parts)}."


def _leaf_order(mean: np.ndarray) -> np.ndarray:
    """Rows in an order in which those that are alike are neighbours (average linkage)."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    known = np.isfinite(mean)
    distance = mean[known].max() - np.where(known, mean, mean[known].min())
    np.fill_diagonal(distance, 0.0)
    order: np.ndarray = leaves_list(linkage(squareform(distance, checks=False), method="average"))
    return order


def _centre(edges: np.ndarray, counts: np.ndarray) -> float:
    return float(np.average((edges[:-1] + edges[1:]) / 2, weights=counts))


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=_DOTS_PER_INCH, layout="constrained")
    return figure, figure.subplots()


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
