"""The demo in one picture: what was heard, its score against the threshold, and when the alarm stood."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asd_edge.atomic import atomic_write
from asd_edge.demo.story import Story
from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _SCORE, _LIMIT, _ALARM, _ENROLLED = "#1f2933", "#1769aa", "#d97706", "#dc2626", "#15803d"
_DYNAMIC_DB = 55.0
_TICKS_HZ = (250, 500, 1000, 2000, 4000)
_COLUMNS = 1200  # more frames than this are averaged: the picture has no more pixels


def draw(story: Story, recording: Path, front_end: FrontEndSpec, out: Path) -> None:
    """Draw the story over the recording of what the device heard, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 6.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    heard, scored = figure.subplots(2, 1, sharex=True, height_ratios=(1.0, 1.15))
    _draw_sound(heard, log_mel(recording, front_end), front_end)
    _draw_scores(scored, story)
    _draw_chapters(heard, scored, story)
    scored.set_xlim(0.0, story.now_s)
    figure.suptitle("One machine, heard end to end: asd-edge demo", color=_INK, fontsize=14, x=0.01, ha="left")
    with atomic_write(out) as stream:
        figure.savefig(stream, format="png")


def log_mel(recording: Path, front_end: FrontEndSpec) -> NDArray[np.float32]:
    """Return the features of a recording as the detector saw them. [frames, bands]."""
    import soundfile

    stage = FrontEnd(front_end)
    with soundfile.SoundFile(recording) as file:
        blocks = file.blocks(blocksize=10 * front_end.sample_rate, dtype="float32")
        return np.concatenate([stage.push(block).features for block in blocks])


def _draw_sound(axes: Axes, features: NDArray[np.float32], front_end: FrontEndSpec) -> None:
    fold = max(1, len(features) // _COLUMNS)
    folded = features[: len(features) // fold * fold].reshape(-1, fold, features.shape[1]).mean(axis=1)
    seconds = len(folded) * fold * front_end.hop / front_end.sample_rate
    top = float(np.percentile(folded, 99.8))
    axes.imshow(
        folded.T,
        origin="lower",
        aspect="auto",
        extent=(0.0, seconds, 0.0, float(features.shape[1])),
        cmap="magma",
        vmin=top - _DYNAMIC_DB,
        vmax=top,
        interpolation="antialiased",
    )
    if front_end.feature == "log_mel":
        hz = front_end.mel().argmax(axis=0) * front_end.sample_rate / front_end.window  # [mels]
        shown = [tick for tick in _TICKS_HZ if tick < hz[-1]]
        axes.set_yticks(np.searchsorted(hz, shown), [f"{tick / 1000:g}" for tick in shown])
        axes.set_ylabel("frequency (kHz, mel scale)")


def _draw_scores(axes: Axes, story: Story) -> None:
    at = np.array([point.at_s for point in story.points])
    score = np.array([np.nan if p.score is None else p.score for p in story.points])
    threshold = np.array([np.nan if p.threshold is None else p.threshold for p in story.points])
    for number, (began, ended) in enumerate(story.alarms):
        label = "alarm" if number == 0 else None
        axes.axvspan(began, ended or story.now_s, color=_ALARM, alpha=0.13, lw=0, label=label)
    axes.fill_between(at, threshold, score, where=score > threshold, color=_ALARM, alpha=0.35, lw=0)
    axes.plot(at, threshold, color=_LIMIT, lw=1.6, ls="--", drawstyle="steps-mid", label="threshold")
    axes.plot(at, score, color=_SCORE, lw=1.8, label="score")
    if story.enrolled_at_s is not None:
        axes.axvline(story.enrolled_at_s, color=_ENROLLED, lw=1.8, label="condition enrolled")
    axes.set_ylim(0.0, 1.2 * float(np.nanmax(np.maximum(score, threshold))))  # room for the legend
    axes.set_ylabel("score (cosine distance)")
    axes.set_xlabel("seconds of sound")
    axes.legend(loc="upper left", frameon=False, ncols=4)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_chapters(heard: Axes, scored: Axes, story: Story) -> None:
    ends = [began for began, _ in story.chapters[1:]] + [story.now_s]
    for (began, label), ended in zip(story.chapters, ends, strict=True):
        if began > 0.0:
            heard.axvline(began, color="white", lw=0.9, alpha=0.8)
            scored.axvline(began, color=_INK, lw=0.7, alpha=0.35)
        heard.annotate(
            label,
            ((began + ended) / 2.0, 1.02),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=10,
            color=_INK,
        )
