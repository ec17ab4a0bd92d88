"""Factory conditions and thresholds: every machine's normal sound, heard through one pipeline.

The pipeline decides: with the torch network it serves evaluation, with the exported graph it makes a bundle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from asd_edge.errors import DataError
from asd_edge.imprint import Groups, Imprint, heard_clips, imprint, scores_against
from asd_edge.offline import EmbeddedClip, embed_clip, idle_floor_of
from asd_edge.pipeline import Pipeline
from asd_edge.scoring.backends.backend import Backend
from asd_edge.scoring.calibration import calibrate
from asd_edge.scoring.conditions import Condition, ConditionSet
from asd_edge.sources.file import read_clip

from .data.clip import Clip
from .data.features_file import load_features
from .features.embed import embed_features
from .progress import Progress


@dataclass(frozen=True)
class MachineReference:
    """What is normal for one machine and section: its conditions `source` and, from target clips, `target`."""

    machine: str
    section: str
    backend: Backend
    idle_floor: float
    imprints: tuple[Imprint, ...]

    @property
    def conditions(self) -> ConditionSet:
        """The reference in the form that scores."""
        return ConditionSet(self.backend, tuple(imprint.condition for imprint in self.imprints), self.idle_floor)


def embed_clips(
    pipeline: Pipeline, clips: Sequence[Clip], *, channel: int | None, what: str, progress: Progress
) -> dict[Clip, EmbeddedClip]:
    """Read and embed clips.

    Raises:
        SourceError: a clip cannot be read or is shorter than a segment.
        DataError: a file of features does not fit the pipeline.
    """
    return {clip: _embedded(pipeline, clip, channel) for clip in progress.track(clips, what, len(clips))}


def _embedded(pipeline: Pipeline, clip: Clip, channel: int | None) -> EmbeddedClip:
    if clip.is_features:
        return embed_features(pipeline, load_features(clip.path, bands=pipeline.front_end.bands), name=clip.path.name)
    samples = read_clip(clip.path, rate=pipeline.front_end.sample_rate, channel=channel)
    return embed_clip(pipeline, samples, name=clip.path.name)


def commission(
    pipeline: Pipeline,
    backend: Backend,
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
        backend: learns what is normal.
        clips: all clips; only training normals are used.
        held_out: keys of the source normals that training never saw: they calibrate, nothing is learned from them.
        quantile: share of normal windows that a threshold lets pass.
        channel: of multi-channel clips.
        progress: shows a bar.

    Raises:
        DataError: there are no training normals, those of a domain are too few, or the clips that training kept out
            for a machine are not among its clips.
        SourceError: a clip cannot be read.
    """
    embedded = embed_normals(pipeline, clips, held_out=held_out, channel=channel, progress=progress)
    return references_of(pipeline, backend, embedded, held_out=held_out, quantile=quantile)


def embed_normals(
    pipeline: Pipeline, clips: Sequence[Clip], *, held_out: Collection[str], channel: int | None, progress: Progress
) -> dict[Clip, EmbeddedClip]:
    """Read and embed all training normals; errors as in `commission`."""
    normals = [clip for clip in clips if clip.split == "train" and clip.anomalous is False]
    _check(_by_unit(normals), held_out)
    return embed_clips(pipeline, normals, channel=channel, what="embedding normals", progress=progress)


def references_of(
    pipeline: Pipeline,
    backend: Backend,
    embedded: Mapping[Clip, EmbeddedClip],
    *,
    held_out: Collection[str],
    quantile: float,
) -> list[MachineReference]:
    """Make the reference of every machine from its embedded training normals; errors as in `commission`."""
    units = _by_unit(embedded)
    references = []
    for unit in sorted(units):
        try:
            references.append(_reference(pipeline, backend, units[unit], embedded, held_out, quantile))
        except ValueError as error:  # no score to find a threshold from, or none that is a number
            raise DataError(
                f"No threshold can be found for {unit}",
                found=", ".join(f"{sum(c.domain == d for c in units[unit])} {d} clips" for d in ("source", "target")),
                expected="of each domain none, or at least two clips in which the machine is heard",
                remedy="Add training normals of that domain, or take its only one, or those that are silent, away.",
            ) from error
    return references


def _by_unit(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    units: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        units[clip.unit].append(clip)
    return units


def _check(units: Mapping[str, Sequence[Clip]], held_out: Collection[str]) -> None:
    if not units:
        raise DataError(
            "There is no sound of a healthy machine to compare with",
            found="no training normals",
            expected="clips like <machine>/train/section_00_source_train_normal_0000_<attributes>.wav",
            remedy="Add them, or give the data set that has them with --data.",
        )
    for unit, clips in units.items():
        kept = [key for key in held_out if key.startswith(f"{unit}/")]
        if kept and not {clip.key for clip in clips} & set(kept):
            raise DataError(
                f"None of the clips that training kept out to find the threshold of {unit} is there",
                found=f"{len(clips)} other clips, like {clips[0].path}",
                expected=f"{len(kept)} clips, like {kept[0]}",
                remedy="Give the data sets that the run was trained on, with the same names; moving them is fine.",
            )


def _reference(
    pipeline: Pipeline,
    backend: Backend,
    clips: Sequence[Clip],
    embedded: Mapping[Clip, EmbeddedClip],
    held_out: Collection[str],
    quantile: float,
) -> MachineReference:
    idle_floor = idle_floor_of(embedded[clip] for clip in clips)
    calibrating = [embedded[clip] for clip in clips if clip.key in held_out]
    learning = [clip for clip in clips if clip.key not in held_out]
    imprints: list[Imprint] = []
    source = _by_label([clip for clip in learning if clip.domain == "source"], embedded)
    if source:
        imprints.append(_source_imprint(pipeline, backend, source, calibrating, idle_floor, quantile))
    learned = imprints[0].condition.fitted if imprints else None
    target = _by_label([clip for clip in learning if clip.domain == "target"], embedded)
    if target:
        imprints.append(
            imprint(pipeline, backend, "target", target, idle_floor=idle_floor, quantile=quantile, source=learned)
        )
    return MachineReference(clips[0].machine, clips[0].section, backend, idle_floor, tuple(imprints))


def _source_imprint(
    pipeline: Pipeline,
    backend: Backend,
    source: Groups,
    calibrating: list[EmbeddedClip],
    idle_floor: float,
    quantile: float,
) -> Imprint:
    if not calibrating:  # too few clips to keep some out of training
        return imprint(pipeline, backend, "source", source, idle_floor=idle_floor, quantile=quantile)
    heard = heard_clips(source, idle_floor)
    fitted = backend.fit(heard)
    scores = scores_against(pipeline, backend, calibrating, fitted, idle_floor=idle_floor)
    calibration = calibrate(scores, clips=len(calibrating), quantile=quantile)
    return Imprint(Condition("source", fitted, calibration.threshold), tuple(heard), calibration)


def _by_label(clips: Sequence[Clip], embedded: Mapping[Clip, EmbeddedClip]) -> dict[str, list[EmbeddedClip]]:
    groups: dict[str, list[EmbeddedClip]] = defaultdict(list)
    for clip in clips:
        groups[clip.label].append(embedded[clip])
    if groups and all(len(members) == 1 for members in groups.values()):
        # Left out of a label of its own, a clip has nothing to be compared with, and no threshold would be found.
        return {f"{clips[0].domain}/all": [embedded[clip] for clip in clips]}
    return dict(sorted(groups.items()))
