"""Embeddings on a plane, before and after imprinting (Chen et al., ICASSP 2022, figure 2)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from numpy.typing import NDArray

from ..data.clip import Clip
from .drawing import INK, drawn, svg_of
from .study import MachineStudy

_FEWEST = 8  # points; fewer make no neighbourhoods
_PERPLEXITY = 30.0
_SCORES = ListedColormap(colormaps["plasma"](np.linspace(0.05, 0.88, 256)))  # its ends are lost on black or on white


def tsne(machine: MachineStudy) -> Markup | None:
    """Draw test clips and centres by t-SNE, coloured by score; None when there are too few points.

    Without a target condition there is one panel. With one there are two of the same points: what the scores are while
    only the source centres are known, and what they are with the target centres.
    """
    clips, labels = list(machine.points), list(machine.centres)
    if len(clips) + len(labels) < _FEWEST:
        return None
    plane = _plane(np.stack([*machine.points.values(), *machine.centres.values()]))
    clips_at = dict(zip(clips, plane, strict=False))
    centres_at = dict(zip(labels, plane[len(clips) :], strict=True))
    after = {s.clip: s.score for s in machine.scored}
    panels = [("after imprinting", after, centres_at)]
    if machine.before:
        source = {label: at for label, at in centres_at.items() if label.startswith("source/")}
        panels.insert(0, ("before: source centres only", dict(machine.before), source))
    else:
        panels = [("test clips and centres", after, centres_at)]
    scale = Normalize(0.0, float(np.percentile([s for _, scores, _ in panels for s in scores.values()], 98)) or 1.0)
    with drawn(3.7 * len(panels) + 0.6, 3.3, columns=len(panels)) as (figure, axes):
        for place, (title, scores, centres) in zip(axes, panels, strict=True):
            _panel(place, title, clips_at, scores, centres, scale)
        axes[0].legend(*axes[-1].get_legend_handles_labels(), loc="best", markerscale=0.8)
        bar = figure.colorbar(axes[0].collections[0], ax=axes, label="score", fraction=0.05)
        bar.outline.set_visible(False)
        return svg_of(figure, f"Embeddings of {machine.unit} on a plane")


def _plane(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lay points out by t-SNE. [points, dims] -> [points, 2]."""
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(points) - 1) / 3)
    start = "pca" if points.shape[1] > 2 else "random"
    return np.asarray(TSNE(perplexity=perplexity, init=start, random_state=0).fit_transform(points))


def _panel(
    axes: Axes,
    title: str,
    clips_at: Mapping[Clip, NDArray[np.float64]],
    scores: Mapping[Clip, float],
    centres_at: Mapping[str, NDArray[np.float64]],
    scale: Normalize,
) -> None:
    kinds = {
        "source normal": ("o", [c for c in clips_at if c.domain == "source" and not c.anomalous]),
        "target normal": ("^", [c for c in clips_at if c.domain == "target" and not c.anomalous]),
        "anomaly": ("X", [c for c in clips_at if c.anomalous]),
    }
    for name, (marker, clips) in kinds.items():
        if clips:
            x, y = np.stack([clips_at[clip] for clip in clips]).T
            values = [scores[clip] for clip in clips]
            axes.scatter(
                x,
                y,
                c=values,
                cmap=_SCORES,
                norm=scale,
                marker=marker,
                s=26,
                linewidths=0.4,
                edgecolors=INK,
                label=name,
            )
    for domain, marker in (("source", "P"), ("target", "D")):
        at = [place for label, place in centres_at.items() if label.startswith(f"{domain}/")]
        if at:
            x, y = np.stack(at).T
            axes.scatter(
                x, y, marker=marker, s=60, facecolors="none", edgecolors=INK, linewidths=1.3, label=f"{domain} centre"
            )
    axes.set(title=title, xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
