"""The tables of a device file but the broker's (docs/configuration.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from asd_edge.strict import Name, Strict

FilePath = Annotated[Path, Field(strict=False)]  # TOML has strings, not paths


class DeviceTable(Strict):
    """`[device]`: this box."""

    id: Name = Field(description="Name of this device in every topic: 1 to 64 of A–Z a–z 0–9 _ -.")
    state_dir: FilePath = Field(
        default=Path("/var/lib/asd-edge"),
        description="Folder for the enrolled conditions and for what was heard.",
    )
    history_h: float = Field(
        default=24.0,
        ge=0.0,
        le=336.0,
        description="Hours of embeddings kept on the disk for each machine, 384 MiB at most; 0: none.",
    )
    ring_s: float = Field(
        default=60.0, ge=0.0, le=600.0, description="Seconds of sound kept in memory for each machine; 0: none."
    )


class BundleTable(Strict):
    """`[bundle]`: what is computed."""

    path: str = Field(
        default="default",
        min_length=1,
        description='Bundle file, or `"default"`: the one inside the package.',
    )
    precision: Literal["fp32", "fp16", "int8", "auto"] = Field(
        default="fp32",
        description="Precision of the network; the default bundle has fp32 and int8. "
        '`"auto"`: the fastest measured on the device that passes parity.',
    )
    threads: int = Field(default=1, ge=1, le=64, description="Threads that run the network.")
    trusted_keys_file: FilePath | None = Field(
        default=None, description="Public keys, one of which must have signed the file: lines `ssh-ed25519 AAAA… NAME`."
    )
    allow_unsigned: bool = Field(
        default=False, description="Whether a file that no trusted key has signed is run all the same."
    )


class EngineTable(Strict):
    """`[engine]`: what runs the network beside onnxruntime, which is always there."""

    tensorrt: Literal["off", "auto"] = Field(
        default="auto", description='`"auto"`: TensorRT, where it is installed, passes parity and was measured faster.'
    )
    build_timeout_s: int = Field(
        default=1_800, ge=10, le=86_400, description="Seconds after which the build of an engine is given up."
    )
    build_memory_mib: int = Field(
        default=2_048, ge=64, le=1_048_576, description="MiB of memory at which the build of an engine is given up."
    )
    cache_dir: FilePath | None = Field(
        default=None, description="Folder of the engines that were built; without it `engines` in `device.state_dir`."
    )


class DecisionTable(Strict):
    """`[machines.decision]`: when an alarm begins and ends."""

    on_delay_s: float = Field(
        default=12.0, ge=0.0, le=86_400.0, description="Seconds above the threshold before an alarm begins."
    )
    off_delay_s: float = Field(
        default=12.0, ge=0.0, le=86_400.0, description="Seconds below the lower limit before an alarm ends."
    )
    deadband: float = Field(
        default=0.1, ge=0.0, lt=1.0, description="Lower limit = threshold · (1 − deadband), a fraction."
    )
    severity: int = Field(
        default=300,
        ge=1,
        le=1_000,
        description="Severity of an alarm at its threshold; each doubling of the score halves what is missing to 1000.",
    )


class MicrophoneTable(Strict):
    """`[machines.microphone]`: when a microphone is not to be believed."""

    check: bool = Field(default=True, description="Whether the sound is examined for the faults of microphones.")
    silent_below_dbfs: float = Field(
        default=-90.0,
        ge=-200.0,
        le=0.0,
        description="Level, dBFS, below which there is no microphone behind the sound.",
    )


class MachineTable(Strict):
    """`[[machines]]`: one machine and its microphone."""

    id: Name = Field(description="Name of the machine in topics and state; as `device.id`.")
    source: str = Field(
        min_length=1,
        description="Its sound: `alsa:NAME[?channels=N]`, `raw:FIFO`, `folder:PATH`, `file:PATH` or `sim:MACHINE`.",
    )
    channel: int | None = Field(
        default=None, ge=0, le=63, description="Channel to hear, from 0; required when there are several."
    )
    source_rate: int | None = Field(
        default=None,
        ge=1_000,
        le=384_000,
        description="Rate of the source, Hz, when it is not the bundle's: it is resampled.",
    )
    speed: float = Field(
        default=1.0,
        ge=0.0,
        le=1_000.0,
        description="Clock of `file:` and `sim:` sources, times real time; 0: unpaced.",
    )
    factory: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_-]{1,64}$",
        description="Factory conditions of the bundle to compare with too: `machine/section`.",
    )
    idle_below_dbfs: float | None = Field(
        default=None,
        ge=-200.0,
        le=0.0,
        description="Mean square, dBFS, at or below which it stands still; replaces the learned level.",
    )
    alarms_per_week: float = Field(
        default=1.0,
        ge=0.001,
        le=10_000.0,
        description="False alarms a week that are accepted: thresholds found on the device keep to it, the factory's do"
        " not.",
    )
    decision: DecisionTable = Field(default=DecisionTable(), description="Table `[machines.decision]`.")
    microphone: MicrophoneTable = Field(default=MicrophoneTable(), description="Table `[machines.microphone]`.")

    @property
    def factory_key(self) -> tuple[str, str] | None:
        """`factory` as (machine, section)."""
        if self.factory is None:
            return None
        machine, _, section = self.factory.partition("/")
        return machine, section


class RemoteTable(Strict):
    """`[remote]`: enrollment over MQTT by signed commands (docs/security.md)."""

    enabled: bool = Field(default=False, description="Whether signed commands are taken over MQTT at all.")
    keys_file: FilePath | None = Field(
        default=None, description="Public keys that may command: lines `ssh-ed25519 AAAA… NAME`; required when enabled."
    )
    challenge_s: int = Field(default=120, ge=10, le=600, description="Life of a challenge, seconds.")
    commands_per_hour: int = Field(default=12, ge=1, le=600, description="Commands that are let through in an hour.")

    @model_validator(mode="after")
    def _guarded(self) -> RemoteTable:
        if self.enabled and self.keys_file is None:
            raise ValueError("enabled without a keys_file")
        return self


class EvidenceTable(Strict):
    """`[evidence]`: sound that is kept of alarms. Off by default: microphones hear people."""

    enabled: bool = Field(default=False, description="Whether the sound around the begin of an alarm is kept.")
    pre_s: float = Field(
        default=20.0, ge=0.0, le=300.0, description="Seconds before the score first went over the threshold."
    )
    post_s: float = Field(default=10.0, ge=0.0, le=300.0, description="Seconds after the alarm began.")
    max_mib: int = Field(
        default=256, ge=32, le=16_384, description="MiB of clips; beyond, the oldest goes, labelled ones last."
    )
    max_age_days: int = Field(default=30, ge=1, le=3_650, description="Days of running after which a clip is deleted.")


class PrometheusTable(Strict):
    """`[prometheus]`: figures for a scraper on this computer."""

    enabled: bool = Field(default=False, description="Whether figures are served at `http://127.0.0.1:PORT/metrics`.")
    port: int = Field(default=9_464, ge=1, le=65_535, description="TCP port, on loopback alone.")
