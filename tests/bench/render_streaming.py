"""The section on streaming in docs/benchmarks.md: ratios first, a deviation beside every speed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.bench.machine import told

_WAYS = {
    "onnx": "the same network, ONNX graph of 311 frames",
    "librosa_onnx": "… with librosa as front end",
    "torch": "… in torch, eager",
    "two_branch": "two-branch network (Wilkinghoff, ICASSP 2023), torch, random weights",
}
_FRAMES = {"1 s": 31, "0.2 s": 6}
_RATIO_BOUNDS = {("1.0", "1 s", "onnx"): "≥ 7.5", ("1.0", "0.2 s", "onnx"): "≥ 37"}
_CHANNEL_BOUNDS = {"1.0": "≥ 100", "0.5": "≥ 350"}


def streaming(results: dict[str, Any] | None) -> str:
    """Return the section; a part whose results are missing says so."""
    title = "## The network with the sound\n\n`python -m tests.bench.streaming`"
    if not results:
        return f"{title}\n\nNot measured yet."
    intro = (
        "Networks with random weights, which cost what trained ones do. One thread; CPU time; everything within a "
        "table was measured in one run, in turns. ±: median absolute deviation. What it is and why: "
        "[streaming](streaming.md)."
    )
    sections = [title, intro]
    where = None
    for name, (heading, body) in _PARTS.items():
        if name not in results:
            sections.append(f"### {heading}\n\nNot measured yet: `--only {name}`.")
            continue
        here = told(results[name]["machine"])
        said = [] if here == where else [f"{here}."]
        where = here
        sections += [f"### {heading}", *said, body(results[name])]
    return "\n\n".join(sections)


def _table(head: str, rows: Sequence[tuple[str, ...]]) -> str:
    columns = head.count("|") + 1
    lines = [f"| {head} |", "|" + "---|" * columns, *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def _ms(cost: dict[str, float]) -> str:
    return f"{1e3 * cost['seconds']:.2f} ± {1e3 * cost['deviation']:.2f} ms"


def _recomputed(part: dict[str, Any]) -> str:
    rows = []
    for width, by_every in part["widths"].items():
        for every, costs in by_every.items():
            for way in (way for way in _WAYS if way in costs):
                cost = costs[way]
                bound = _RATIO_BOUNDS.get((width, every, way), "")
                frames = "" if way == "two_branch" else f"{311 / _FRAMES[every]:.1f}"
                ratios = f"**{cost['ratio']:.1f}**", bound, f"{cost['ratio_together']:.1f}", frames
                spent = (_ms(costs[name]) for name in (way, "streaming", "streaming 16"))
                rows.append((width, every, _WAYS[way], *ratios, *spent))
    head = (
        "width | a score every | recomputing ten seconds with | times dearer | bound | than 16 channels together "
        "| by frames alone | recomputing | streaming | 16 together"
    )
    text = (
        "Cost of a second of one channel's sound, front end, network, pooling and head. A score every 1 s is one every "
        "31 frames, every 0.2 s one every 6. By frames alone: 311 against those."
    )
    return f"{text}\n\n{_table(head, rows)}"


def _channels(part: dict[str, Any]) -> str:
    columns = [_channels_of(width, found) for width, found in part["widths"].items()]
    names = ("", *(f"width {width}" for width in part["widths"]))
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    return f"A score of ten seconds a second; bounds in brackets.\n\n{_table(' | '.join(names).strip(), rows)}"


def _channels_of(width: str, found: dict[str, Any]) -> dict[str, str]:
    core = found["core_multiply_adds_a_second"] / 1e9
    return {
        "channels in real time on a core, at the dearest count": f"**{found['channels_a_core']:.0f}** "
        f"({_CHANNEL_BOUNDS[width]})",
        "largest deviation from the cost of one channel": f"{found['largest_deviation_from_one']:.0%} (≤ 15 %)",
        "multiply-adds for a second of sound": f"{found['multiply_adds_a_second_of_sound'] / 1e6:.0f} M",
        "the core's multiply-adds a second: numpy, float32, 1024 × 1024": f"{core:.0f} ± "
        f"{core * found['core_deviation']:.0f} G",
        "… share of it that the network reaches": f"{found['share_of_the_core']:.0%}",
        "… channels that arithmetic alone would allow": f"{found['channels_by_arithmetic_alone']:.0f}",
        **{f"a second of one channel's sound, {n} together": _ms(cost) for n, cost in found["costs"].items()},
    }


def _state(part: dict[str, Any]) -> str:
    rows = [
        (f"full width, {name}", f"{part[key] / 1e6:.2f} MB", "≤ 2.5 MB")
        for key, name in (
            ("shipped", "segments of 64 frames every 32"),
            ("ten seconds", "ten seconds every 0.2 s"),
        )
    ]
    return _table("remembered of a channel, at the most | measured | bound", rows)


def _int8(part: dict[str, Any]) -> str:
    rows = [
        (
            row["network"],
            row["graph"],
            f"**{row['times_faster']:.2f}** ± {row['deviation']:.2f}",
            *(_ms({"seconds": row[each]["median"], "deviation": row[each]["deviation"]}) for each in ("fp32", "int8")),
            f"{100.0 * row['size']:.1f} %",
            f"{row['distance']:.1e}",
        )
        for row in part["rows"]
    ]
    text = (
        "As bundles get them ([int8](decisions/16-int8.md)), calibrated with simulated machines, one thread; due are "
        "1.5 times the speed at full width, and 30 % of the size. Size: stream graph and head together. Distance: "
        "cosine, of an int8 from its fp32 embedding, the largest of other simulated machines; the weights are random."
    )
    head = "network | graph | int8 times faster | fp32, a run | int8, a run | size | distance"
    return f"{text}\n\n{_table(head, rows)}"


def _front_end(part: dict[str, Any]) -> str:
    rows = [
        ("blocks of 0.25 s, against bare `rfft` + mel product", f"**{part['block_to_bare']:.2f} ×**", "≤ 1.15 ×"),
        ("… with the single-precision FFT", f"{part['block_to_bare_single']:.2f} ×", ""),
        ("16 channels together against one, blocks of 0.25 s", f"{part['channels_block_to_block']:.2f} ×", ""),
        ("16 channels together against one, blocks of a hop", f"{part['channels_hop_to_hop']:.2f} ×", ""),
        ("a hop, in blocks of 0.25 s", f"{part['block_us']:.1f} µs", ""),
        ("largest deviation from librosa", f"{part['largest_deviation_from_librosa_db']:.1e} dB", "≤ 1e-4 dB"),
    ]
    return _table("front end | measured | bound", rows)


def _memory(part: dict[str, Any]) -> str:
    rows = [
        ("resident at its largest", f"{part['largest_mb']:.0f} MB", "≤ 200 MB"),
        ("… growth from the first 100,000 frames to the end", f"{part['growth_mb']:.2f} MB", "≤ 1 MB"),
    ]
    text = (
        f"`asd-edge run`, {part['channels']} channels, default bundle, {part['frames_scored']:,} frames scored at full "
        f"speed, {part['scores_received']:,} scores received from a real mosquitto, {part['scores_dropped']} dropped."
    )
    return f"{text}\n\n{_table('memory, seen from outside | measured | bound', rows)}"


def _latency(part: dict[str, Any]) -> str:
    rows = []
    for key, name, limit in (
        ("received_s", "until a subscriber has it", "p99 ≤ 740 + 60 ms"),
        ("delay_s", "until it is handed to the sender (`delay_s`)", ""),
    ):
        spread = part[key]
        rows.append((name, *(f"{1e3 * spread[share]:.0f} ms" for share in ("p50", "p99", "worst")), limit))
    text = (
        f"From the capture of a score's last sample, through daemon and mosquitto, full width, {part['channels']} "
        f"channels in real time, {part['scores']} scores; {1e3 * part['context_s']:.0f} ms of it are context."
    )
    return f"{text}\n\n{_table('delay of a score | p50 | p99 | worst | bound', rows)}"


_PARTS: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "recomputed": ("Against recomputing", _recomputed),
    "channels": ("Many channels on a core", _channels),
    "state": ("Memory of a channel", _state),
    "int8": ("int8", _int8),
    "front_end": ("Front end", _front_end),
    "memory": ("Memory of the daemon", _memory),
    "latency": ("Delay", _latency),
}
