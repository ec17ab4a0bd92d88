"""Sound files and raw PCM that are damaged, cut, hostile or plain rubbish: mutants of genuine ones."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
import soundfile

RATE = 16_000
_SECONDS = 1.5
_CODINGS = (
    *(("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "FLOAT"), ("WAV", "DOUBLE")),
    *(("WAVEX", "PCM_16"), ("RF64", "PCM_16"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24")),
    *(("WAV", "PCM_U8"), ("WAV", "ULAW"), ("WAV", "IMA_ADPCM"), ("WAV", "GSM610"), ("AIFF", "PCM_16")),
    *(("OGG", "VORBIS"), ("W64", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16")),
)
_RATES = (0, 1, 7, 8_000, 15_999, 16_000, 44_100, 48_000, 96_000, 384_000, 1 << 31, (1 << 32) - 1)
_CHANNELS = (0, 1, 2, 8, 64, 1024, 65_535)
_BITS = (0, 1, 8, 12, 16, 24, 32, 64, 65_535)
_SIZES = (0, 1, 2, 3, 44, 1 << 16, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF)
_FORMATS = (0, 1, 2, 3, 6, 7, 0x11, 0x55, 0xFFFE, 0xFFFF)
_ODD = (np.nan, np.inf, -np.inf, 1e38, -3.4e38, 1e-45, 0.0, -0.0, 1.0, 2.0, -1.0000001)


@dataclass(frozen=True)
class Input:
    """What a source is given. `name` is that of the file; `kind` says how it was made."""

    kind: str
    name: str
    data: bytes
    channel: int | None
    source_rate: int | None


class Inputs:
    """Makes the input of a number; the same seed and number make the same one."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._whole = {coding: _whole(*coding) for coding in _CODINGS}

    def make(self, number: int) -> Input:
        """Return an input."""
        random = Random(f"{self._seed} {number}")
        kinds: tuple[Callable[[Random], tuple[str, bytes]], ...] = (
            *(self._flipped, self._flipped, self._cut, self._spliced, self._chunks, self._header, self._header),
            *(self._flac_header, self._numbers, self._rubbish, self._whole_one, self._raw),
        )
        kind = random.choice(kinds)
        suffix, data = kind(random)
        return Input(
            kind.__name__.strip("_"),
            f"sound.{suffix}",
            data,
            random.choice((None, 0, random.choice((1, 63)))),
            random.choice((None, None, RATE, random.choice((44_100, 48_000, 384_000)))),
        )

    def _base(self, random: Random) -> tuple[str, bytearray]:
        container, coding = random.choice(_CODINGS[:9] if random.random() < 0.8 else _CODINGS)
        suffix = random.choice(("wav", "wav", "flac", "raw")) if random.random() < 0.1 else container[:4].lower()
        return suffix, bytearray(self._whole[container, coding])

    def _flipped(self, random: Random) -> tuple[str, bytes]:
        """Bits that a disk or a cable changed, most of them where they hurt."""
        suffix, data = self._base(random)
        for _ in range(random.choice((1, 1, 2, 5, 50))):
            data[random.randrange(random.choice((64, 64, 256, len(data))))] ^= 1 << random.randrange(8)
        return suffix, bytes(data)

    def _cut(self, random: Random) -> tuple[str, bytes]:
        suffix, data = self._base(random)
        return suffix, bytes(data[: random.randrange(random.choice((60, len(data)))) + 1])

    def _spliced(self, random: Random) -> tuple[str, bytes]:
        """A file of two halves, as a broken copy leaves it; or one with a hole."""
        suffix, data = self._base(random)
        _, other = self._base(random)
        at, gap = random.randrange(len(data)), random.choice((0, 1, 4096))
        return suffix, bytes(data[:at]) + random.choice((bytes(gap), bytes(other[random.randrange(len(other)) :])))

    def _chunks(self, random: Random) -> tuple[str, bytes]:
        """A RIFF file of chunks in any order, with any size."""
        body = b""
        for _ in range(random.randrange(1, 8)):
            name = random.choice((b"fmt ", b"data", b"LIST", b"ds64", b"fact", b"bext", b"cue ", b"\0\0\0\0", b"junk"))
            content = self._fmt(random) if name == b"fmt " else random.randbytes(random.choice((0, 1, 16, 28, 3200)))
            size = len(content) if random.random() < 0.7 else random.choice(_SIZES)
            body += name + struct.pack("<I", size) + content
        magic = random.choice((b"RIFF", b"RIFF", b"RF64", b"RIFX"))
        return "wav", magic + struct.pack("<I", random.choice((len(body) + 4, *_SIZES))) + b"WAVE" + body

    def _header(self, random: Random) -> tuple[str, bytes]:
        """A plain WAV file whose header claims what it likes: 4 GiB, 65535 channels, one sample a second."""
        content = np.random.default_rng(random.randrange(1 << 32)).integers(-9_000, 9_000, RATE).astype("<i2").tobytes()
        size = len(content) if random.random() < 0.5 else random.choice(_SIZES)
        data = b"fmt " + struct.pack("<I", random.choice((16, 16, 16, 18, 40, 0))) + self._fmt(random)
        data += b"data" + struct.pack("<I", size) + content
        return "wav", b"RIFF" + struct.pack("<I", random.choice((len(data) + 4, 0xFFFF_FFFF))) + b"WAVE" + data

    def _fmt(self, random: Random) -> bytes:
        fields = {"form": 1, "channels": 1, "rate": RATE, "bits": 16}
        lies: dict[str, tuple[int, ...]] = {"form": _FORMATS, "channels": _CHANNELS, "rate": _RATES, "bits": _BITS}
        for lie in random.choices((*lies, "none"), k=2):
            if lie in lies:
                fields[lie] = random.choice(lies[lie])
        form, claimed, rate, bits = fields.values()
        align = random.choice((0, 1, 65_535)) if random.random() < 0.1 else max(1, claimed * bits // 8) & 0xFFFF
        return struct.pack("<HHIIHH", form, claimed, rate, rate * align & 0xFFFF_FFFF, align, bits)

    def _flac_header(self, random: Random) -> tuple[str, bytes]:
        """STREAMINFO of another sound: block sizes, rate, channels, bits and number of samples are packed into it."""
        data = bytearray(self._whole["FLAC", random.choice(("PCM_16", "PCM_24"))])
        start = 8 + random.choice((0, 0, 10))  # block sizes, or rate and what follows
        field = random.randbytes(random.choice((1, 2, 8)))
        data[start : start + len(field)] = field
        return "flac", bytes(data)

    def _numbers(self, random: Random) -> tuple[str, bytes]:
        """Floats that are no sound: not a number, infinite, beyond full scale."""
        samples = np.random.default_rng(random.randrange(1 << 32)).uniform(-0.5, 0.5, RATE).astype(np.float32)
        for _ in range(random.choice((1, 3, 1000))):
            samples[random.randrange(RATE)] = random.choice(_ODD)
        if random.random() < 0.2:
            samples[:] = random.choice(_ODD)
        return "wav", _written(samples, random.choice(("FLOAT", "DOUBLE")), "WAV")

    def _rubbish(self, random: Random) -> tuple[str, bytes]:
        data = random.randbytes(random.choice((0, 1, 3, 12, 44, 5_000, 100_000)))
        magic = random.choice((b"", b"RIFF", b"RF64", b"fLaC", b"RIFF\xff\xff\xff\xffWAVE", b"OggS", b"ID3"))
        return random.choice(("wav", "flac", "raw", "wav.flac")), magic + data

    def _whole_one(self, random: Random) -> tuple[str, bytes]:
        suffix, data = self._base(random)
        return suffix, bytes(data)

    def _raw(self, random: Random) -> tuple[str, bytes]:
        """What a sender writes into a FIFO: any bytes are samples, and the last may be half."""
        size = random.choice((0, 1, 2, 511, 5_001, 60_001))
        patterns = (random.randbytes(size), bytes(size), b"\xff" * size, b"\x00\x80" * (size // 2), b"\xff\x7f" * size)
        return "pcm", random.choice(patterns)


def _whole(container: str, coding: str) -> bytes:
    seconds = np.arange(round(_SECONDS * RATE)) / RATE
    sound = 0.3 * np.sin(2 * np.pi * 440.0 * seconds) + 0.05 * np.random.default_rng(1).standard_normal(len(seconds))
    return _written(sound.astype(np.float32), coding, container)


def _written(samples: np.ndarray, coding: str, container: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, coding, format=container)
    return file.getvalue()
