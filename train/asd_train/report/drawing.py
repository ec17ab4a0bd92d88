"""Figures as SVG that takes ink and type from the page around it, so that one drawing serves light, dark and print."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK = "#0a0b0c"  # stands for the text colour of the page
SOURCE, TARGET, ANOMALY = "#3b8ed0", "#e69f00", "#cc5a97"  # told apart by colour-blind eyes, on white and on black
SOUND = "magma"

_STYLE: Any = {  # the keys have a type of their own in newer matplotlib only
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "asd-train report",  # equal figures, equal bytes
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    "axes.facecolor": "none",
    "figure.facecolor": "none",
}


@contextmanager
def drawn(width: float, height: float, columns: int = 1, rows: int = 1) -> Iterator[tuple[Figure, list[Axes]]]:
    """Open a figure of `width` by `height` inches with its axes, row by row."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def svg_of(figure: Figure, title: str) -> Markup:
    """Return the figure as an inline SVG element; `title` is what a screen reader says."""
    stream = io.StringIO()
    with rc_context(_STYLE):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    # Groups are numbered in each figure anew; on one page the same id would be there many times.
    text = re.sub(r'<g id="[A-Za-z]+_?\d+">', "<g>", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    label = Markup('<svg role="img" aria-label="{}" ').format(title)
    return Markup(text.replace("<svg ", label, 1))  # the drawing is ours; names in it are escaped by matplotlib
