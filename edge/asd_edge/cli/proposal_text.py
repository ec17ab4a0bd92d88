"""What a person, or a program, is shown of a proposal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from asd_edge.bundle.site import SiteState
from asd_edge.enrollment.proposal import AlarmReport, ClipReport, Proposal, Report
from asd_edge.words import counted

ONE_RECORDING = (
    "note: these clips were cut from one recording without a break. They sound more alike than clips of different\n"
    "hours do, so the threshold may be too tight; enroll again with clips some minutes or hours apart if it is."
)
_SHOWN = 8


def to_json(proposal: Proposal, *, revision: int | None = None) -> dict[str, Any]:
    """Return a proposal for programs; with the revision that committing it made."""
    return {
        "proposal": proposal.id,
        "machine": proposal.machine,
        "condition": proposal.condition.name,
        "author": proposal.author,
        "committed": revision is not None,
        "revision": revision,
        "base_revision": proposal.base_revision,
        "threshold": proposal.condition.threshold,
        "clips": [clip.model_dump(mode="json") for clip in proposal.condition.clips],
        "report": proposal.report.model_dump(mode="json"),
    }


def proposal_text(proposal: Proposal, *, force: bool = False) -> str:
    """Return a proposal for a person who is to decide; `force`: he vouches for clips that sound anomalous."""
    report = proposal.report
    verb = "replaces the one of that name" if report.replaces else "is new"
    lines = [
        f"{proposal.machine}: condition {proposal.condition.name}, which {verb} (proposal {proposal.id})",
        *(f"  {_clip(clip)}" for clip in report.clips),
        f"  {report.segments} segments used; idle below {report.idle_floor_dbfs:.1f} dBFS",
        *(f"  {line}" for line in _threshold(report)),
    ]
    if len(report.groups) > 1:
        lines += [f"  centre of its own: {', '.join(group)}" for group in report.groups]
    if report.known:
        lines.append("  compared with what is known:")
        lines += [
            f"    {known.condition}: distance {known.distance:.4f}, threshold {known.threshold:.4f}, "
            f"{known.within:.0%} of the windows within"
            for known in report.known[:_SHOWN]
        ]
    lines += _effect(report)
    if report.dropped:
        lines.append(f"  of another bundle, taken out of use: {', '.join(report.dropped)} (enroll them again)")
    lines += [f"  warning: {warning}" for warning in report.warnings]
    if report.refusal is not None:
        lines.append(f"  {'vouched for' if force else 'REFUSED without --force'}: {report.refusal}")
    return "\n".join(lines)


def committed_text(proposal: Proposal, after: SiteState, config: Path) -> str:
    """Return what was done."""
    verb = "replaced" if proposal.report.replaces else "enrolled"
    return (
        f"{proposal.machine}: condition {proposal.condition.name} {verb} (revision {after.revision}). "
        f"Take it back: asd-edge conditions rollback --config {config} --machine {proposal.machine}"
    )


def later_text(proposal: Proposal, picture: Path, config: Path) -> str:
    """Return how to commit what was only proposed."""
    force = " --force" if proposal.report.refusal is not None else ""
    return (
        f"Nothing has changed. The proposal is kept for a day, its picture is {picture}.\n"
        f"Commit it: asd-edge enroll --config {config} --machine {proposal.machine} --commit {proposal.id}{force}"
    )


def _clip(clip: ClipReport) -> str:
    head = f"{clip.name}: {clip.seconds:.1f} s, {clip.level_dbfs:.0f} dBFS"
    if clip.rejected is not None:
        return f"{head}: REJECTED, {clip.rejected}"
    parts = [f"{count} {what}" for count, what in ((clip.silent, "silent"), (clip.clipped, "clipped")) if count]
    return f"{head}: {clip.used} of {clip.segments} segments used" + (f" ({', '.join(parts)})" if parts else "")


def _threshold(report: Report) -> list[str]:
    whose = "before" if report.replaces else "the nearest condition's is"
    before = "" if report.threshold_before is None else f", {whose} {report.threshold_before:.4f}"
    lines = [f"threshold {report.threshold:.4f}{before} (method {report.method})"]
    if report.alarms_per_week is not None and report.expected_alarms is not None:
        low, high = report.expected_alarms
        budget = alarms_text(report.alarms_per_week)
        lines.append(f"found for a budget of {budget}; expect {rate_text(low)} to {rate_text(high)} (90 %)")
    mean, deviation = report.spread
    lines.append(f"without itself a clip scores {mean:.4f}, with a deviation of {deviation:.4f}")
    return lines


def _effect(report: Report) -> list[str]:
    effect = report.effect
    if effect is None:
        return ["  no stored sound yet, so its effect on the past cannot be shown"]
    before = counted(effect.alarms_before, "alarm")
    lines = [
        f"  in the last {_span(effect.hours)} ({effect.windows} windows) there were {before}; "
        f"with it there would have been {effect.alarms_after}"
    ]
    for what, alarms, count in (
        ("would vanish", effect.vanish, effect.vanish_count),
        ("would appear", effect.appear, effect.appear_count),
    ):
        lines += [f"    {what}: {_alarm(alarm)}" for alarm in alarms[:_SHOWN]]
        if count > _SHOWN:
            lines.append(f"    {what}: {count - _SHOWN} more")
    return lines


def rate_text(per_week: float) -> str:
    """Return alarms per week as people read them: what is next to never has no exponent."""
    return f"{per_week:.2g}" if 0.01 <= per_week < 100.0 else f"{per_week:.0f}" if per_week >= 100.0 else "under 0.01"


def alarms_text(per_week: float) -> str:
    """Return a rate of false alarms as people read it."""
    rate = rate_text(per_week)
    return f"{rate} false alarm{'' if rate == '1' else 's'} a week"


def _span(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 2.0 else counted(round(hours * 60.0), "minute")


def _alarm(alarm: AlarmReport) -> str:
    return f"{alarm.since_utc} to {alarm.until_utc} ({alarm.condition})"
