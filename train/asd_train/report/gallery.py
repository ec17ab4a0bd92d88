"""What the clips behind a score look like."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from asd_edge.dsp.front_end import FrontEnd, FrontEndSpec
from asd_edge.dsp.mel import hz_to_mel
from asd_edge.sources.file import read_clip

from .drawing import SOUND, drawn, svg_of
from .study import MachineStudy

_COLUMNS = 220  # more frames than this are averaged: the picture has no more pixels
_RANGE_DB = 60.0
_TICKS_HZ = np.array([500.0, 1000.0, 2000.0, 4000.0])


def spectrograms(machine: MachineStudy, front_end: FrontEndSpec, channel: int | None) -> list[Markup]:
    """Draw the log-mel spectrogram of each clip of the gallery; one scale of colours for all of them.

    Raises:
        SourceError: a clip cannot be read any more.
    """
    spec = replace(front_end, feature="log_mel")  # what people read, whatever the network hears
    sounds = [_log_mel(scored.clip.path, spec, channel) for _, scored in machine.gallery]
    top = max((float(np.percentile(sound, 99.8)) for sound, _ in sounds), default=0.0)
    pictures = []
    for (place, scored), (sound, seconds) in zip(machine.gallery, sounds, strict=True):
        with drawn(3.5, 2.0) as (figure, (axes,)):
            axes.imshow(
                sound.T, origin="lower", aspect="auto", cmap=SOUND, vmin=top - _RANGE_DB, vmax=top,
                extent=(0.0, seconds, 0.0, float(sound.shape[1])), interpolation="nearest",
            )  # fmt: skip
            axes.set(xlabel="seconds", ylabel="kHz, mel scale")
            axes.set_yticks(*_ticks(spec))
            pictures.append(svg_of(figure, f"{place}: {scored.clip.path.name}"))
    return pictures


def _ticks(spec: FrontEndSpec) -> tuple[list[float], list[str]]:
    """Return where frequencies lie among the bands, and their names in kHz."""
    shown = _TICKS_HZ[(spec.low_hz < _TICKS_HZ) & (spec.high_hz > _TICKS_HZ)]
    low, high = hz_to_mel(np.array([spec.low_hz, spec.high_hz]), spec.mel_scale)
    places = (hz_to_mel(shown, spec.mel_scale) - low) / (high - low) * spec.mels
    return places.tolist(), [f"{hz / 1000:g}" for hz in shown]


def _log_mel(path: Path, spec: FrontEndSpec, channel: int | None) -> tuple[NDArray[np.float32], float]:
    """Return the spectrogram in dB, at most `_COLUMNS` long, and the seconds it covers. [columns, bands]."""
    samples = read_clip(path, rate=spec.sample_rate, channel=channel)
    frames = FrontEnd(spec).push(samples).features
    width = -(-len(frames) // _COLUMNS)
    parts = np.array_split(frames, max(1, len(frames) // width))
    return np.stack([part.mean(axis=0) for part in parts]), len(samples) / spec.sample_rate
