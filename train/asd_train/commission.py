"""Factory centres and thresholds: every machine's normal sound, heard through one pipeline.

The pipeline decides: with the torch network it serves evaluation, with the exported graph it makes a bundle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from asd_edge.imprint import Groups, Imprint, centres_of, imprint, scores_against
from asd_edge.offline import EmbeddedClip, embed_clip, idle_floor_of
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.calibration import FEW_SCORES, calibrate, calibrate_few
from asd_edge.scoring.nearest_centre import Condition, ConditionSet
from asd_edge.sources.file import read_clip

from .data.clip import Clip
from .progress import Progress


@dataclass(frozen=True)
class MachineReference:
    """What is normal for one machine and section: its conditions `source` and, from target clips, `target`."""

    machine: str
    section: str
    idle_floor: float
    imprints: tuple[Imprint, ...]

    @property
    def conditions(self) -> ConditionSet:
        """The reference in the form that scores."""
        return ConditionSet(tuple(imprint.condition for imprint in self.imprints), self.idle_floor)


def embed_clips(
    pipeline: Pipeline, clips: Sequence[Clip], *, channel: int | None, what: str, progress: Progress
) -> dict[Clip, EmbeddedClip]:
    """Read and embed clips.

    Raises:
        SourceError: a clip cannot be read or is shorter than a segment.
    """
    rate = pipeline.front_end.sample_rate
    return {
        clip: embed_clip(pipeline, read_clip(clip.path, rate=rate, channel=channel), name=clip.path.name)
        for clip in progress.track(clips, what, len(clips))
    }


def commission(
    pipeline: Pipeline,
    clips: Sequence[Clip],
    *,
    held_out: Collection[str],
    quantile: float,
    channel: int | None,
    progress: Progress,
) -> list[MachineReference]:
    """Make the reference of every machine that has training normals.

    Args:
        pipeline: embeds the clips.
        clips: all clips; only training normals are used.
        held_out: paths of the source normals that training never saw: they calibrate, they make no centre.
        quantile: share of normal windows that a threshold lets pass.
        channel: of multi-channel clips.
        progress: shows a bar.
    """
    normals = [clip for clip in clips if clip.split == "train" and not clip.anomalous]
    embedded = embed_clips(pipeline, normals, channel=channel, what="embedding normals", progress=progress)
    units: dict[str, list[Clip]] = defaultdict(list)
    for clip in normals:
        units[clip.unit].append(clip)
    return [_reference(pipeline, units[unit], embedded, held_out, quantile) for unit in sorted(units)]


def _reference(
    pipeline: Pipeline,
    clips: Sequence[Clip],
    embedded: dict[Clip, EmbeddedClip],
    held_out: Collection[str],
    quantile: float,
) -> MachineReference:
    idle_floor = idle_floor_of(embedded[clip] for clip in clips)
    calibrating = [embedded[clip] for clip in clips if str(clip.path) in held_out]
    learning = [clip for clip in clips if str(clip.path) not in held_out]
    imprints: list[Imprint] = []
    source = _by_label([clip for clip in learning if clip.domain == "source"], embedded)
    if source:
        imprints.append(_source_imprint(pipeline, source, calibrating, idle_floor, quantile))
    target = _by_label([clip for clip in learning if clip.domain == "target"], embedded)
    if target:
        gamma = imprints[0].calibration.gamma if imprints else None
        imprints.append(
            imprint(
                pipeline,
                "target",
                target,
                idle_floor=idle_floor,
                quantile=quantile,
                shape=None if gamma is None else gamma.shape,
            )
        )
    return MachineReference(clips[0].machine, clips[0].section, idle_floor, tuple(imprints))


def _source_imprint(
    pipeline: Pipeline, source: Groups, calibrating: list[EmbeddedClip], idle_floor: float, quantile: float
) -> Imprint:
    if not calibrating:  # too few clips to keep some out of training
        return imprint(pipeline, "source", source, idle_floor=idle_floor, quantile=quantile)
    centres = centres_of(source, idle_floor=idle_floor)
    scores = scores_against(pipeline, calibrating, centres, idle_floor=idle_floor)
    calibration = (
        calibrate(scores, quantile=quantile)
        if len(calibrating) >= FEW_SCORES
        else calibrate_few(scores, clips=len(calibrating), quantile=quantile, shape=None)
    )
    return Imprint(Condition("source", centres, calibration.threshold), tuple(source), calibration)


def _by_label(clips: Sequence[Clip], embedded: dict[Clip, EmbeddedClip]) -> dict[str, list[EmbeddedClip]]:
    groups: dict[str, list[EmbeddedClip]] = defaultdict(list)
    for clip in clips:
        groups[clip.label].append(embedded[clip])
    return dict(sorted(groups.items()))
