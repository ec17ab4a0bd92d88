"""The device file: where sound comes from and where events go (docs/configuration.md).

What is computed is the bundle's business; there is no feature constant here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from asd_edge.errors import ConfigError
from asd_edge.strict import Name, RefusalError, Strict, refusal_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def _resolvable(host: str) -> str:
    try:
        host.encode("idna")  # as every connection does, too far from here to be reported
    except UnicodeError:
        raise ValueError(f"{host!r} has an empty or overlong part between its dots") from None
    if " " in host or not host.isprintable():
        raise ValueError(f"{host!r} has a space or a control character")
    return host


FilePath = Annotated[Path, Field(strict=False)]  # TOML has strings, not paths
HostName = Annotated[str, AfterValidator(_resolvable)]


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
    threads: int = Field(default=1, ge=1, le=64, description="Threads that run the network.")
    trusted_keys_file: FilePath | None = Field(
        default=None, description="Public keys, one of which must have signed the file: lines `ssh-ed25519 AAAA… NAME`."
    )
    allow_unsigned: bool = Field(
        default=False, description="Whether a file that no trusted key has signed is run all the same."
    )


class TlsTable(Strict):
    """`[mqtt.tls]`: encrypted connection; leave the table out for a plain one."""

    ca_file: FilePath | None = Field(default=None, description="Trusted certificates (PEM); the system's without it.")
    cert_file: FilePath | None = Field(default=None, description="This device's certificate (PEM); needs `key_file`.")
    key_file: FilePath | None = Field(default=None, description="This device's private key (PEM).")

    @model_validator(mode="after")
    def _paired(self) -> TlsTable:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("one of cert_file and key_file without the other")
        return self


class MqttTable(Strict):
    """`[mqtt]`: the broker."""

    host: HostName = Field(default="127.0.0.1", min_length=1, description="Name or address of the broker.")
    port: int = Field(default=1883, ge=1, le=65_535, description="TCP port of the broker; usually 8883 with TLS.")
    protocol: Literal["5", "3.1.1"] = Field(default="5", description='MQTT version, `"5"` or `"3.1.1"`.')
    prefix: str = Field(
        default="asd-edge",
        pattern=r"^[^+#/$\x00-\x1f][^+#\x00-\x1f]*$",
        max_length=200,
        description="First levels of every topic; no wildcards, not ending in `/`.",
    )
    username: str | None = Field(default=None, min_length=1, description="User name at the broker.")
    password_file: FilePath | None = Field(default=None, description="File that holds the password; needs `username`.")
    tls: TlsTable | None = Field(default=None, description="Table `[mqtt.tls]`.")
    keepalive_s: int = Field(default=30, ge=5, le=3_600, description="MQTT keep-alive, seconds.")

    @model_validator(mode="after")
    def _consistent(self) -> MqttTable:
        if self.password_file is not None and self.username is None:
            raise ValueError("a password_file without a username")
        if self.prefix.endswith("/"):
            raise ValueError("a prefix that ends in '/'")
        return self


class DecisionTable(Strict):
    """`[machines.decision]`: when an alarm begins and ends."""

    on_delay_s: float = Field(
        default=12.0, ge=0.0, le=86_400.0, description="Seconds above the threshold before an alarm begins."
    )
    off_delay_s: float = Field(
        default=12.0, ge=0.0, le=86_400.0, description="Seconds below the lower limit before an alarm ends."
    )
    hysteresis: float = Field(
        default=0.1, ge=0.0, lt=1.0, description="Lower limit = threshold · (1 − hysteresis), a fraction."
    )


class MachineTable(Strict):
    """`[[machines]]`: one machine and its microphone."""

    id: Name = Field(description="Name of the machine in topics and state; as `device.id`.")
    source: str = Field(
        min_length=1, description="Its sound: `alsa:NAME[?channels=N]`, `raw:FIFO`, `file:PATH` or `sim:MACHINE`."
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
        description="False alarms a week that are accepted; thresholds are found for it.",
    )
    decision: DecisionTable = Field(default=DecisionTable(), description="Table `[machines.decision]`.")

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


class DeviceConfig(Strict):
    """A whole device file."""

    device: DeviceTable
    bundle: BundleTable = BundleTable()
    mqtt: MqttTable = MqttTable()
    remote: RemoteTable = RemoteTable()
    machines: Annotated[tuple[MachineTable, ...], Field(strict=False, min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _distinct(self) -> DeviceConfig:
        ids = [machine.id for machine in self.machines]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"two machines with the id {twice[0]!r}")
        return self

    def machine(self, machine_id: str) -> MachineTable:
        """Return the machine of that id.

        Raises:
            ConfigError: there is none.
        """
        for machine in self.machines:
            if machine.id == machine_id:
                return machine
        raise ConfigError(
            "The device file has no such machine",
            found=repr(machine_id),
            expected=f"one of {', '.join(machine.id for machine in self.machines)}",
            remedy="Name a machine of the device file, or add it there.",
        )


def load_config(path: Path) -> DeviceConfig:
    """Read a device file. Relative paths in it (but in `source`) start at its own folder.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has an unknown key or an impossible value.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        config = DeviceConfig.model_validate(content)
    except OSError as error:
        raise _unusable(path, RefusalError(str(error.strerror), "a file that can be read")) from error
    except ValidationError as error:
        raise _unusable(path, refusal_of(error, DeviceConfig)) from None
    except ValueError as error:  # not UTF-8, or not TOML: both say where
        raise _unusable(path, RefusalError(str(error), "TOML")) from None
    return _anchored(config, path.absolute().parent)


def _unusable(path: Path, refusal: RefusalError) -> ConfigError:
    return ConfigError(
        f"Cannot use the device file {path}",
        found=refusal.found,
        expected=refusal.expected,
        remedy="Correct the file; docs/configuration.md lists every key.",
    )


def _anchored(config: DeviceConfig, folder: Path) -> DeviceConfig:
    """Return `config` with its relative paths made absolute."""

    def anchored(table: Any, *keys: str) -> Any:
        given = {key: path for key in keys if (path := getattr(table, key)) is not None}
        return table.model_copy(update={key: folder / path for key, path in given.items()})

    bundle, mqtt = anchored(config.bundle, "trusted_keys_file"), anchored(config.mqtt, "password_file")
    if bundle.path != "default":
        bundle = bundle.model_copy(update={"path": str(folder / bundle.path)})
    if mqtt.tls is not None:
        mqtt = mqtt.model_copy(update={"tls": anchored(mqtt.tls, "ca_file", "cert_file", "key_file")})
    device, remote = anchored(config.device, "state_dir"), anchored(config.remote, "keys_file")
    return config.model_copy(update={"device": device, "bundle": bundle, "mqtt": mqtt, "remote": remote})
