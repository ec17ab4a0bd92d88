"""The demo on the terminal: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from asd_edge.demo.director import Chapter
from asd_edge.demo.story import Point, Story

_BAR = 48  # columns
_TRACE = 72
_LEVELS = "▁▂▃▄▅▆▇█"


class View:
    """Shows a story while it happens.

    Args:
        story: what has been seen; read at every `show`.
        plot: what will be seen.
        broker: for the title.
        speed: for the title.
        console: where to show it; standard output without one.
    """

    def __init__(
        self,
        story: Story,
        plot: tuple[Chapter, ...],
        *,
        broker: str,
        speed: float,
        console: Console | None = None,
    ) -> None:
        self._story = story
        self._plot = plot
        self._title = f"asd-edge demo · {broker} · {speed:g}× real time"
        self._console = console or Console()
        self._live = Live(console=self._console, refresh_per_second=8) if self._console.is_terminal else None
        self._printed = -1

    def __enter__(self) -> View:
        if self._live is None:
            self._console.print(self._title)
        else:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, number: int) -> None:
        """Bring the terminal up to date; `number` is the chapter that plays."""
        if self._live is not None:
            self._live.update(self._render(number))
        elif number != self._printed:
            self._printed = number
            title = self._plot[number].title if number < len(self._plot) else "everything was seen"
            self._console.print(f"{self._story.now_s:6.1f} s  {title}")

    def _render(self, number: int) -> RenderableType:
        lines = [self._chapter(index, chapter, number) for index, chapter in enumerate(self._plot)]
        point = self._story.points[-1] if self._story.points else None
        return Panel(
            Group(*lines, Text(), self._bar(point), self._trace(), self._counts()), title=self._title, width=84
        )

    def _chapter(self, index: int, chapter: Chapter, number: int) -> Text:
        if index < number:
            return Text(f" ✔ {chapter.title}", style="green")
        if index == number:
            return Text(f" ▶ {chapter.title}", style="bold")
        return Text(f"   {chapter.title}", style="dim")

    def _bar(self, point: Point | None) -> Text:
        if point is None or point.score is None or point.threshold is None:
            return Text(" waiting for the first score", style="dim")
        full = 2.0 * point.threshold  # the threshold stands in the middle
        filled = min(_BAR, round(_BAR * max(point.score, 0.0) / full))
        middle = _BAR // 2
        bar = "".join("┃" if at == middle else ("█" if at < filled else "·") for at in range(_BAR))
        alarm = Text("  ALARM", style="bold white on red") if self._story.alarm else Text("")
        numbers = f" {point.score:.3f} / {point.threshold:.3f} {point.condition}"
        return Text.assemble(" score ", (bar, "red" if point.over else "green"), numbers, alarm)

    def _trace(self) -> Text:
        text = Text(" ")
        for point in self._story.points[-_TRACE:]:
            if point.score is None or point.threshold is None:
                text.append(" ")
            else:
                level = min(len(_LEVELS) - 1, int(len(_LEVELS) / 2 * max(point.score, 0.0) / point.threshold))
                text.append(_LEVELS[level], style="red" if point.over else "green")
        return text

    def _counts(self) -> Text:
        over = sum(point.over for point in self._story.points)
        return Text(
            f" {self._story.now_s:.0f} s of sound · {len(self._story.points)} scores, {over} over the threshold"
            f" · {self._story.received} messages received",
            style="dim",
        )
