"""ROC curves, histograms of scores, and the loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..data.clip import Domain
from ..evaluation.metrics import PAUC_MAX_FPR
from ..evaluation.scored import ScoredClip
from .drawing import ANOMALY, INK, SOURCE, TARGET, drawn, svg_of
from .study import MachineStudy, relative_score

COLOURS: dict[Domain, str] = {"source": SOURCE, "target": TARGET}
_BINS = 24


def roc(machine: MachineStudy) -> Markup:
    """Draw the ROC within each domain, with the part that pAUC looks at."""
    from sklearn.metrics import roc_curve

    with drawn(3.1, 2.9) as (figure, (axes,)):
        axes.axvspan(0, PAUC_MAX_FPR, color=INK, alpha=0.07, linewidth=0)
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.6, linestyle=":")
        for domain, colour in COLOURS.items():
            own = [s for s in machine.scored if s.clip.domain == domain]
            truth = [s.clip.anomalous for s in own]
            if any(truth) and not all(truth):
                false_rate, true_rate, _ = roc_curve(truth, [s.score for s in own])
                axes.plot(false_rate, true_rate, color=colour, linewidth=1.6, label=domain)
                alarming = [s.alarms > 0 for s in own]
                axes.plot(
                    np.mean([a for a, t in zip(alarming, truth, strict=True) if not t]),
                    np.mean([a for a, t in zip(alarming, truth, strict=True) if t]),
                    "o", color=colour, markersize=5, markeredgecolor=INK, markeredgewidth=0.6,
                )  # fmt: skip
        axes.set(xlabel="normals that alarm", ylabel="anomalies that alarm", xlim=(-0.02, 1), ylim=(0, 1.02))
        axes.legend(loc="lower right")
        return svg_of(figure, f"ROC curves of {machine.unit}")


def histograms(machine: MachineStudy) -> Markup:
    """Draw the scores of each domain's normals and anomalies, in units of the threshold."""
    with drawn(4.2, 2.9, rows=2) as (figure, both):
        ends = [relative_score(s) for s in machine.scored]
        edges = np.linspace(min(0.0, *ends), max(1.05, *ends) * 1.01, _BINS + 1)
        for axes, (domain, colour) in zip(both, COLOURS.items(), strict=True):
            _histogram(axes, [s for s in machine.scored if s.clip.domain == domain], domain, colour, edges.tolist())
        both[0].tick_params(labelbottom=False)
        both[1].set_xlabel("score / threshold")
        return svg_of(figure, f"Scores of the test clips of {machine.unit}")


def _histogram(axes: Axes, scored: Sequence[ScoredClip], domain: str, colour: str, edges: Sequence[float]) -> None:
    normals = [relative_score(s) for s in scored if not s.clip.anomalous]
    anomalies = [relative_score(s) for s in scored if s.clip.anomalous]
    axes.hist(normals, edges, color=colour, alpha=0.75, label=f"{domain}, normal")
    axes.hist(anomalies, edges, histtype="step", color=ANOMALY, linewidth=1.6, label=f"{domain}, anomaly")
    axes.axvline(1.0, color=INK, linewidth=1.0, linestyle="--")
    axes.set_ylabel("clips")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
    axes.legend(loc="upper right")


def loss(history: Sequence[float]) -> Markup:
    """Draw the mean training loss of each epoch."""
    with drawn(7.4, 1.8) as (figure, (axes,)):
        axes.plot(range(1, len(history) + 1), history, color=SOURCE, linewidth=1.6, marker="o", markersize=2.5)
        axes.set(xlabel="epoch", ylabel="loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        return svg_of(figure, "Training loss by epoch")
