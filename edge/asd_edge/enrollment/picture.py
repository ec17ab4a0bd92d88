"""A proposal as a picture (SVG): the clips against its threshold, and the last hours without and with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asd_edge.atomic import atomic_write
from asd_edge.enrollment.effect import Outcome
from asd_edge.enrollment.propose import Proposed
from asd_edge.errors import StateError

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP = 860, 190, 70, 20, 78
_MOST_POINTS = 600
_INK, _GREY, _RED, _BLUE = "#222", "#999", "#c0392b", "#2166ac"


def write_picture(proposed: Proposed, path: Path) -> None:
    """Write the picture where somebody wants it, whole or not at all.

    Raises:
        StateError: it cannot be written.
    """
    try:
        with atomic_write(path) as stream:
            stream.write(picture(proposed).encode())
    except OSError as error:
        raise StateError(
            f"Cannot write the picture {path}",
            found=error.strerror or str(error),
            expected="a folder that exists and can be written",
            remedy="Name another file.",
        ) from error


def picture(proposed: Proposed) -> str:
    """Return the SVG document."""
    proposal = proposed.proposal
    panels = [_clips_panel(proposed)]
    for title, outcome in (("the last hours as they were judged", proposed.before), ("… with it", proposed.after)):
        if outcome is not None and len(outcome.times):
            panels.append(_history_panel(title, outcome))
    height = _TOP + len(panels) * (_PANEL + 50)
    body = "".join(
        f'<g transform="translate(0 {_TOP + i * (_PANEL + 50)})">{panel}</g>' for i, panel in enumerate(panels)
    )
    head = f"{proposal.machine}: condition {proposal.condition.name}"
    below = f"proposed {proposal.made_utc} by {proposal.author}"
    if proposal.report.refusal is not None:
        below += " · sounds ANOMALOUS against what is known"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-family="sans-serif" font-size="12" fill="{_INK}"><rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="{_LEFT}" y="24" font-size="16">{escape(head)}</text>'
        f'<text x="{_LEFT}" y="42" fill="{_GREY}">{escape(below)}</text>{body}</svg>\n'
    )


def _clips_panel(proposed: Proposed) -> str:
    """Each used clip's windows against the new condition: one column a clip."""
    threshold = proposed.proposal.condition.threshold
    scores = proposed.clip_scores
    top = 1.15 * max([threshold, *(max(values, default=0.0) for values in scores.values())])
    column = (_WIDTH - _LEFT - _RIGHT) / max(1, len(scores))
    parts = [_frame("distance of the clips to the new condition (their own centre: smaller than fresh sound has)", top)]
    for number, (name, values) in enumerate(scores.items()):
        x = _LEFT + (number + 0.5) * column
        parts += [f'<circle cx="{x:.1f}" cy="{_y(value, top):.1f}" r="3.5" fill="{_BLUE}"/>' for value in values]
        if len(scores) <= 12:
            parts.append(f'<text x="{x:.1f}" y="{_PANEL + 16}" text-anchor="middle">{escape(_cut(name))}</text>')
    parts.append(_line(threshold, top, _RED, f"threshold {threshold:.4f}"))
    for known in proposed.proposal.report.known[:3]:
        if known.distance <= top:
            parts.append(_line(known.distance, top, _GREY, f"the clips' distance to {known.condition}"))
    return "".join(parts)


def _history_panel(title: str, outcome: Outcome) -> str:
    """Scores over time as what share of their threshold they reach, with the alarms behind them."""
    ratio = outcome.scores / outcome.thresholds
    begin, end = float(outcome.times[0]), float(outcome.times[-1])
    span = max(end - begin, 1.0)
    top = 1.15 * max(1.5, float(ratio.max()))
    width = _WIDTH - _LEFT - _RIGHT
    parts = [_frame(f"{title}: score / threshold, {len(outcome.alarms)} alarms", top)]
    for alarm in outcome.alarms:
        x = _LEFT + (alarm.since - begin) / span * width
        shown = max(2.0, (alarm.until - alarm.since) / span * width)
        parts.append(f'<rect x="{x:.1f}" y="0" width="{shown:.1f}" height="{_PANEL}" fill="{_RED}" opacity="0.2"/>')
    times, peaks = _peaks(outcome.times, ratio)
    points = " ".join(
        f"{_LEFT + (time - begin) / span * width:.1f},{_y(value, top):.1f}"
        for time, value in zip(times, peaks, strict=True)
    )
    parts.append(f'<polyline points="{points}" fill="none" stroke="{_BLUE}" stroke-width="1"/>')
    parts.append(_line(1.0, top, _RED, "threshold"))
    for time, anchor, x in ((begin, "start", _LEFT), (end, "end", _WIDTH - _RIGHT)):
        stamp = datetime.fromtimestamp(time, tz=timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
        parts.append(f'<text x="{x}" y="{_PANEL + 16}" text-anchor="{anchor}">{stamp}</text>')
    return "".join(parts)


def _peaks(times: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[Sequence[float], Sequence[float]]:
    """Thin a long trace out, keeping its peaks: they are what alarms come from."""
    if len(times) <= _MOST_POINTS:
        return times.tolist(), values.tolist()
    starts = np.linspace(0, len(times), _MOST_POINTS, endpoint=False).astype(int)
    return times[starts].tolist(), np.maximum.reduceat(values, starts).tolist()


def _frame(title: str, top: float) -> str:
    right = _WIDTH - _RIGHT
    return (
        f'<text x="{_LEFT}" y="-8">{escape(title)}</text>'
        f'<path d="M{_LEFT} 0V{_PANEL}H{right}" fill="none" stroke="{_INK}"/>'
        f'<text x="{_LEFT - 6}" y="{_PANEL}" text-anchor="end">0</text>'
        f'<text x="{_LEFT - 6}" y="10" text-anchor="end">{top:.3g}</text>'
    )


def _line(value: float, top: float, colour: str, label: str) -> str:
    y = _y(value, top)
    right = _WIDTH - _RIGHT
    return (
        f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="{colour}" stroke-dasharray="5 3"/>'
        f'<text x="{right}" y="{y - 4:.1f}" text-anchor="end" fill="{colour}">{escape(label)}</text>'
    )


def _y(value: float, top: float) -> float:
    return _PANEL * (1.0 - min(value, top) / top)


def _cut(name: str) -> str:
    return name if len(name) <= 22 else f"…{name[-21:]}"
