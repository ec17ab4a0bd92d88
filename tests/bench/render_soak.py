"""The part of the page about long runs: what was done to the daemon, and what became of its events."""

from __future__ import annotations

import re
from typing import Any

from tests.bench.machine import told

_HEAD = (
    "## Soak\n\n`make soak`; one scenario: `python -m tests.soak NAME`\n\n"
    "The real daemon and a real mosquitto, whose persistence is set as in `firmware_configs/mosquitto/mosquitto.conf`. "
    "A subscriber with a session that lasts writes down every event by its id. *Lost*: committed, and neither received "
    "nor waiting in the outbox. *Disorder*: events of one machine whose first arrival is after that of a later one in "
    "the same stream. *Contradictions*: one id, two payloads."
)


def soak(results: dict[str, Any] | None) -> str:
    """Return the part; a scenario that has not run is said to be missing."""
    if results is None:
        return f"{_HEAD}\n\nNot run yet."
    parts = [_HEAD]
    for name, title, render in (
        ("kills", "Killed and frozen under load", _kills),
        ("outage", "A day without the broker", _outage),
        ("memory", "Memory over hours", _memory),
        ("faults", "Faults", _faults),
        ("commands", "Fuzzed commands", _commands),
        ("fuzz_audio", "Fuzzed sound", _audio),
        ("start_stop", "Start and stop", _start_stop),
    ):
        found = results.get(name)
        body = "Not run yet." if found is None else f"{told(found['machine'])}.\n\n{render(found)}"
        parts.append(f"### {title}\n\n{body}")
    return "\n\n".join(parts)


def _table(rows: list[tuple[object, ...]], head: tuple[str, ...] = ("", "measured", "bound")) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _kills(r: dict[str, Any]) -> str:
    blows = ", ".join(f"{what} {count} ×" for what, count in sorted(r["blows"].items()))
    shown = ""
    if (control := r.get("without_replay")) is not None:
        shown = (
            f"Without a replay window (`outbox.replay_s = 0`) {control['lost']:,} of {control['committed']:,} events "
            "are lost so, which the broker had confirmed and kept in its memory."
        )
    how = (
        f"In random order and at random moments, seed {r['seed']}: {blows}. Before half of its deaths the broker has "
        f"messages for a subscriber that is away. {shown}"
    )
    return f"{how}\n\n" + _table(
        [
            (
                f"events committed in {r['seconds'] / 60:.0f} minutes, of {r['machines']} machines",
                f"{r['committed']:,}",
                "",
            ),
            ("… lost", len(r["lost"]), 0),
            ("… given up by the outbox", r["dropped"], 0),
            ("received again, same id and payload", f"{r['again']:,}", ""),
            ("contradictions", len(r["contradictions"]), 0),
            ("disorder", len(r["disorder"]), 0),
            ("alarm changes received", r["alarms_received"], ""),
            ("alarms that stand at the end, wrong at the subscriber", len(r["alarms_wrong"]), 0),
            ("… and in what the broker retains", len(r["retained_wrong"]), 0),
            ("exceptions in the log", r["exceptions_in_the_log"], 0),
        ]
    )


def _outage(r: dict[str, Any]) -> str:
    live, filling, draining = r["live_delay_s"], r["resident_filling"], r["resident_draining"]
    grown = max(filling["largest_mb"], draining["largest_mb"]) - filling["early_mb"]
    return _table(
        [
            (f"events of {r['machines']} machines in {r['outage_h']:.0f} simulated hours", f"{r['fed']:,}", ""),
            ("… lost", r["lost"], 0),
            ("… given up by the outbox; its file by then", f"{r['dropped']}; {r['file_mib']:.0f} MiB", "0; 512 MiB"),
            ("all delivered after", f"{r['drain_s']:.0f} s", "≤ 300 s"),
            (f"the {r['alarms']:,} alarm changes among them after", f"{r['alarms_through_s']:.1f} s", "first"),
            (
                f"delay of the {r['live_meanwhile']:,} live scores meanwhile: p50; p99; worst",
                "; ".join(f"{live[name]:.2f} s" for name in ("p50", "p99", "worst")),
                "≤ 1 s",
            ),
            ("contradictions; disorder", f"{len(r['contradictions'])}; {len(r['disorder'])}", "0; 0"),
            ("growth of resident memory, filling and draining", f"{grown:.1f} MB", "flat"),
        ]
    )


def _memory(r: dict[str, Any]) -> str:
    rows: list[tuple[object, ...]] = []
    for bundle in ("tiny", "default"):
        if (found := r.get(bundle)) is not None:
            resident, files = found["resident_mb"], found["files"]
            title = f"{found['hours']:g} simulated hours, {found['channels']} channels, {bundle} bundle"
            rows += [
                (
                    f"{title}: growth of resident memory after the first eighth",
                    f"{resident['growth']:.2f} MB",
                    "≤ 1 MB",
                ),
                ("… at its largest", f"{resident['largest']:.0f} MB", ""),
                ("… growth of open files", f"{files['growth']:.0f}", 0),
                ("… scores received in minutes", f"{found['scores_received']:,} in {found['seconds'] / 60:.0f}", ""),
            ]
    return _table(rows)


def _faults(r: dict[str, Any]) -> str:
    rows = []
    for name, found in r["faults"].items():
        if "failure" in found:
            rows.append((name, "failed: " + found["failure"].splitlines()[-1], "", "", "", ""))
            continue
        said = [trouble for told in found["said"].values() for trouble in told.get("troubles") or () if trouble]
        missing = "–" if found["scores_missing"] is None else found["scores_missing"]
        counted = f"{found['dropped']}; {found['uncommitted']}"
        rows.append((name, "; ".join(dict.fromkeys(_short(s) for s in said)) or "–", found["lost"], missing, counted))
    head = (
        "fault",
        "what the status said",
        "committed and lost",
        "scores that never came",
        "given up; sent uncommitted",
    )
    text = (
        "What was overwritten on the disk is lost where no copy of it is left, and said: counted where the file can "
        "still be read. Sent uncommitted: delivered while the disk took nothing."
    )
    return f"{text}\n\n{_table(rows, head)}"


def _short(trouble: str) -> str:
    """Return what a trouble says without paths."""
    return re.sub(r"(:| to)? /\S+", "", trouble)


def _commands(r: dict[str, Any]) -> str:
    rows: list[tuple[object, ...]] = []
    for key, title in (
        ("all_judged", "requests for enrollment, all judged"),
        ("rate_limited", "requests for enrollment, of which the limit lets a few through"),
        ("sparkplug", "Sparkplug NCMD and STATE"),
    ):
        found = r[key]
        rows += [
            (f"{found['requests']:,} {title}: exit code at the end", found["exit_code"], 0),
            ("… exceptions in the log", found["exceptions_in_the_log"], 0),
            ("… growth of resident memory", f"{found['growth_mb']:.1f} MB", ""),
        ]
    return _table(rows)


def _audio(r: dict[str, Any]) -> str:
    heard = sum(times for outcome, times in r["outcomes"].items() if outcome.endswith("heard"))
    return _table(
        [
            (f"of {r['inputs']:,} damaged files and streams, seed {r['seed']}: heard", f"{heard:,}", ""),
            ("… ended with anything but sound or a SourceError", len(r["failures"]), 0),
            ("… most memory that one process needed beside what it has", f"{r['growth_mib']} MiB", ""),
            ("… slowest", f"{r['slowest_s'] * 1e3:.0f} ms", ""),
        ]
    )


def _start_stop(r: dict[str, Any]) -> str:
    rows = []
    for key, title in (("with_broker", "broker there"), ("without_broker", "no broker")):
        found = r[key]
        rows += [
            (f"{title}: start → READY=1, median; worst", _two(found, "ready"), "≤ 2 s"),
            ("… of which processor time, median", f"{found['ready_cpu_median_s']:.2f} s", ""),
            (f"{title}: SIGTERM → ended, median; worst", _two(found, "stop"), "≤ 2 s"),
            ("… machines with a gap in what the outbox holds", found["machines_with_gaps"], 0),
        ]
    how = (
        f"{r['runs']} runs of {r['machines']} machines, default bundle, start of Python included; load average of the "
        f"computer before them {r['load']:.1f}."
    )
    return f"{how}\n\n{_table(rows)}"


def _two(found: dict[str, float], what: str) -> str:
    return f"{found[f'{what}_median_s']:.2f} s; {found[f'{what}_worst_s']:.2f} s"
