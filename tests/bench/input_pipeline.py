"""What the input of training costs: reading clips, opening the cache, and a pass of crops.

    OMP_NUM_THREADS=1 nice -n 15 python -m tests.bench.input_pipeline

1,000 clips of 10 s, log-mel of the default front end, one crop of 64 frames a clip in batches of 64. The clips are
noise: what they hold changes no time. "mapped" is the cache's file in the page cache, "in memory" an array.
A pass of `tf_resnet` over the same crops takes 45 to 65 s on two cores.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import soundfile
import torch

from asd_edge.dsp.front_end import FrontEndSpec
from asd_train.data.clip import Clip
from asd_train.features.cache import Cache
from asd_train.features.corpus import Corpus
from asd_train.features.prefetch import prefetch
from asd_train.features.twin import FrontEndTwin, segment_spectrum
from asd_train.progress import Progress

CLIPS, SECONDS, BATCH, FRAMES = 1000, 10, 64, 64
SPEC = FrontEndSpec()
SILENT = Progress(enabled=False)


def measure(folder: Path) -> dict[str, float]:
    """Return seconds for all clips, unless the name says otherwise."""
    clips = _write_clips(folder)
    cache = Cache(folder / "cache")

    def opened() -> Corpus:
        return cache.features(clips, SPEC, channel=None, progress=SILENT)

    figures = {"compute_and_keep_s": _seconds(opened, 1), "open_cache_s": _seconds(opened, 3)}
    mapped = opened()
    held = Corpus(mapped.rows.clone(), mapped.firsts, mapped.lengths, mapped.device)
    sound = torch.randn(BATCH, SECONDS * SPEC.sample_rate)
    twin, magnitudes = FrontEndTwin(SPEC), FrontEndTwin(FrontEndSpec(feature="magnitude"))
    return figures | {
        "pass_mapped_s": _seconds(lambda: _pass(mapped), 5),
        "pass_in_memory_s": _seconds(lambda: _pass(held), 5),
        "pass_mapped_prefetched_s": _seconds(lambda: _pass(mapped, ahead=2), 5),
        "statistics_s": _seconds(mapped.statistics, 3),
        "samples_compute_and_keep_s": _seconds(
            lambda: cache.samples(clips, SPEC.sample_rate, channel=None, progress=SILENT), 1
        ),
        "twin_log_mel_s_a_batch": _seconds(lambda: twin(sound), 5),
        "twin_magnitude_s_a_batch": _seconds(lambda: magnitudes(sound), 5),
        "segment_spectrum_s_a_batch": _seconds(lambda: segment_spectrum(sound), 5),
    }


def _write_clips(folder: Path) -> list[Clip]:
    generator, clips = np.random.default_rng(0), []
    for number in range(CLIPS):
        path = folder / f"{number:04d}.wav"
        soundfile.write(path, generator.normal(0.0, 0.1, SECONDS * SPEC.sample_rate), SPEC.sample_rate)
        clips.append(Clip(path, "fan", "00", "source", "train", False, ""))
    return clips


def _pass(corpus: Corpus, ahead: int = 0) -> None:
    generator = np.random.default_rng(0)
    order = generator.permutation(len(corpus))
    batches = (
        corpus.cut(chosen, generator.integers(0, corpus.lengths[chosen] - FRAMES + 1), FRAMES)
        for chosen in (order[start : start + BATCH] for start in range(0, len(order), BATCH))
    )
    for _ in prefetch(batches, ahead=ahead) if ahead else batches:
        pass


def _seconds(work: Callable[[], object], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return median(taken)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps({key: round(value, 4) for key, value in measure(Path(name)).items()}, indent=1))
