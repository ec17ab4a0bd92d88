"""The manifest of an evidence clip: `clip.json`, strict and versioned."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field

from asd_edge.strict import Name, Sha256, Strict, Text, UtcTime

FORMAT: Final = "asd-edge-clip"
VERSION: Final = 1
MANIFEST: Final = "clip.json"
SIZE_LIMIT: Final = 64 << 10

Verdict = Literal["normal", "anomalous", "unknown"]
Sample = Annotated[int, Field(ge=0)]


class Label(Strict):
    """What a person said of a clip."""

    verdict: Verdict
    note: str = Field(default="", max_length=500)
    author: Text
    time_utc: UtcTime


class Member(Strict):
    """A file of the clip."""

    sha256: Sha256
    size: int = Field(ge=0)


class ClipManifest(Strict):
    """What a clip is of.

    `alarm_utc`: when the alarm began; `since_utc`: when the score first went over the threshold; `first_utc`: when the
    first sample was captured. `alarm_sample` and `since_sample` say the same in samples of the clip; 0 where it was
    before the clip, as when a gap in the sound lay between.
    `made_at_s`: seconds of the running clock (age.py), which tells the clip's age whatever the wall clock says.
    """

    format: Literal["asd-edge-clip"] = FORMAT
    version: Literal[1] = VERSION
    id: Name
    device: Name
    machine: Name
    bundle_id: Sha256
    condition: Text
    score: float
    threshold: float
    severity: int | None = Field(default=None, ge=1, le=1_000)
    first_utc: UtcTime
    since_utc: UtcTime
    alarm_utc: UtcTime
    rate: int = Field(ge=1)
    samples: int = Field(ge=1)
    since_sample: Sample
    alarm_sample: Sample
    made_at_s: float = Field(ge=0.0)
    files: dict[str, Member]
    label: Label | None = None

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.samples / self.rate

    @property
    def verdict(self) -> Verdict:
        """What a person said of it; "unknown" where nobody did."""
        return "unknown" if self.label is None else self.label.verdict
