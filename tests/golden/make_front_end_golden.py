"""Make front_end_golden.npz: what librosa, in double precision, computes from a committed signal.

Run where librosa is installed: python -m tests.golden.make_front_end_golden
"""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
from numpy.typing import NDArray

TARGET = Path(__file__).with_name("front_end_golden.npz")
RATE, WINDOW, HOP, MELS = 16_000, 1024, 512, 128
FLOOR = 1e-10


def signal() -> NDArray[np.int16]:
    """Half a second of everything: digital silence, faint noise, a sweep, loud noise, a click. 16-bit, [8000]."""
    generator = np.random.default_rng(20)
    time = np.arange(2000) / RATE
    sweep = 0.5 * np.sin(2 * np.pi * (50.0 * time + 0.5 * 60_000.0 * time**2))
    faint = 0.001 * generator.standard_normal(2000)
    loud = 0.2 * generator.standard_normal(2000)
    click = np.zeros(500)
    click[250] = 1.0
    sound = np.concatenate([np.zeros(1500), faint, sweep, loud, click])
    return np.round(sound * 32_000).clip(-32_768, 32_767).astype(np.int16)


def log_mel(power: NDArray[np.float64], mel: NDArray[np.float64]) -> NDArray[np.float32]:
    decibels = librosa.power_to_db(mel @ power, ref=1.0, amin=FLOOR, top_db=None)
    return decibels.T.astype(np.float32)  # [frames, mels]


def mel_matrix(*, htk: bool) -> NDArray[np.float64]:
    norm = None if htk else "slaney"
    return librosa.filters.mel(
        sr=RATE, n_fft=WINDOW, n_mels=MELS, fmin=0.0, fmax=RATE / 2, htk=htk, norm=norm, dtype=np.float64
    )


def main() -> None:
    samples = signal()
    sound = samples.astype(np.float64) / 32_768.0
    spectrum = np.abs(librosa.stft(sound, n_fft=WINDOW, hop_length=HOP, window="hann", center=False))
    htk, slaney = mel_matrix(htk=True), mel_matrix(htk=False)
    np.savez_compressed(
        TARGET,
        samples=samples,
        magnitude=spectrum.T.astype(np.float32),  # [frames, bins]
        log_mel_htk=log_mel(spectrum**2, htk),
        log_mel_slaney=log_mel(spectrum**2, slaney),
        mel_htk=htk.T.astype(np.float32),  # [bins, mels]
        mel_slaney=slaney.T.astype(np.float32),
        librosa=np.array(librosa.__version__),
    )


if __name__ == "__main__":
    main()
