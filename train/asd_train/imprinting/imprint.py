"""Imprinting into a run: it takes in a few clips of a machine's target domain, and may learn from them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from asd_edge.errors import DataError

from ..commission import embed_clips
from ..data.clip import Clip
from ..data.dcase import read_datasets
from ..data.plain import UNIT_PATTERN, read_target_clips
from ..embedder import torch_pipeline
from ..progress import Progress
from ..run import Run
from .finetune import finetune


def imprint_run(
    run: Run,
    folder: Path,
    unit: str,
    *,
    datasets: Sequence[str],
    tune: bool,
    seed: int = 0,
    progress: Progress,
    report: Callable[[int, float], None] = lambda iteration, loss: None,
) -> Run:
    """Return the run with a folder of target clips among its data sets, so that their centres are commissioned.

    Args:
        run: stays as it is.
        folder: plain folder of target clips, one class or a sub-folder for each.
        unit: machine and section, for example `fan/00`; the machine is one that the network learned, the section may
            be new.
        datasets: those of the run, where they lie now.
        tune: adapt the network to the clips; otherwise no weight changes.
        seed: of the fine-tuning.
        progress: shows progress bars.
        report: called with each iteration and its loss.

    Raises:
        ConfigError: the run's recipe does not say how to fine-tune.
        DataError: an unknown machine, or clips that cannot make a centre and a threshold.
        SourceError: a clip cannot be read or is too short.
    """
    machines = sorted({name.split("/")[0] for name in run.classes})
    machine, _, section = unit.partition("/")
    if not re.fullmatch(UNIT_PATTERN, unit) or machine not in machines:
        raise DataError(
            "These clips cannot be given to that machine",
            found=repr(unit),
            expected=f"MACHINE/SECTION, like {machines[0]}/00; the network has learned {', '.join(machines)}",
            remedy="Name one of these machines; a section that is new is fine.",
        )
    target = read_target_clips(folder, machine, section)
    dataset = f"{unit}={folder}"
    together = tuple(datasets) if dataset in datasets else (*datasets, dataset)
    source = [clip for clip in run.labelled(read_datasets(together)) if clip.domain == "source"]
    _check(run, target, folder, progress)
    imprinted = replace(run, datasets=together)
    if not tune:
        return imprinted
    return finetune(imprinted, target, source, seed=seed, progress=progress, report=report)


def _check(run: Run, target: Sequence[Clip], folder: Path, progress: Progress) -> None:
    if len(target) < 2:
        raise DataError(
            f"There are too few clips in {folder}",
            found="1 clip",
            expected="at least two: how much two clips differ decides the threshold",
            remedy="Record more; three are a good number for each condition.",
        )
    known = [clip for clip in target if clip.key in run.held_out]
    if known:
        raise DataError(
            f"A clip in {folder} is called like one that the run keeps to find thresholds with",
            found=known[0].path.name,
            expected="clips that are not in the run's data sets",
            remedy="Rename it if it is another clip, or take it away.",
        )
    heard = embed_clips(torch_pipeline(run), target, channel=run.channel, what="embedding clips", progress=progress)
    for clip, embedded in heard.items():
        if not embedded.segments.power.any():
            raise DataError(
                f"There is nothing to hear in {clip.path}",
                found="digital silence",
                expected="the sound of the running machine",
                remedy="Take the clip away, and look after the microphone.",
            )
