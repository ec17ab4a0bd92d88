"""The device file as a whole, and its reader."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, unquote

from pydantic import Field, ValidationError, model_validator

from asd_edge.config.mqtt import MqttTable, OutboxTable, SparkplugTable
from asd_edge.config.tables import (
    BundleTable,
    DeviceTable,
    EngineTable,
    EvidenceTable,
    MachineTable,
    PrometheusTable,
    RemoteTable,
)
from asd_edge.errors import ConfigError
from asd_edge.strict import RefusalError, Strict, refusal_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


_FILE_OPTION = re.compile(r"([?&](?:control|record)=)([^&]+)")  # of a simulated machine
_TOML = 'TOML: under names of tables, as [mqtt], lines as port = 8883 and id = "fan-7"'


class DeviceConfig(Strict):
    """A whole device file."""

    device: DeviceTable
    bundle: BundleTable = BundleTable()
    engine: EngineTable = EngineTable()
    mqtt: MqttTable = MqttTable()
    sparkplug: SparkplugTable = SparkplugTable()
    outbox: OutboxTable = OutboxTable()
    evidence: EvidenceTable = EvidenceTable()
    prometheus: PrometheusTable = PrometheusTable()
    remote: RemoteTable = RemoteTable()
    machines: Annotated[tuple[MachineTable, ...], Field(strict=False, min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _distinct(self) -> DeviceConfig:
        ids = [machine.id for machine in self.machines]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"two machines with the id {twice[0]!r}")
        if self.remote.enabled and not self.mqtt.enabled:
            raise ValueError("[remote] enabled, whose commands come over MQTT, without [mqtt] enabled")
        return self

    @property
    def engine_cache(self) -> Path:
        """Folder of the engines that were built on this device."""
        return self.engine.cache_dir or self.device.state_dir / "engines"

    @property
    def destinations(self) -> tuple[MqttTable | SparkplugTable, ...]:
        """Where events go: the tables that are enabled."""
        return tuple(table for table in (self.mqtt, self.sparkplug) if table.enabled)

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
    """Read a device file. Relative paths in it start at its own folder, those in a `source` too.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has an unknown key or an impossible value.
    """
    content: dict[str, Any] = {}
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        config = DeviceConfig.model_validate(content)
    except OSError as error:
        raise _unusable(path, RefusalError(str(error.strerror), "a file that can be read")) from error
    except ValidationError as error:
        raise _unusable(path, refusal_of(error, DeviceConfig, content)) from None
    except ValueError as error:  # not UTF-8, or not TOML: both say where
        raise _unusable(path, RefusalError(str(error), _TOML)) from None
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

    def broker(table: Any) -> Any:
        with_password = anchored(table, "password_file")
        if table.tls is None:
            return with_password
        return with_password.model_copy(update={"tls": anchored(table.tls, "ca_file", "cert_file", "key_file")})

    bundle = anchored(config.bundle, "trusted_keys_file")
    if bundle.path != "default":
        bundle = bundle.model_copy(update={"path": str(folder / bundle.path)})
    mqtt, sparkplug = broker(config.mqtt), broker(config.sparkplug)
    device, remote = anchored(config.device, "state_dir"), anchored(config.remote, "keys_file")
    engine = anchored(config.engine, "cache_dir")
    machines = tuple(
        machine.model_copy(update={"source": _anchored_source(machine.source, folder)}) for machine in config.machines
    )
    tables = {"device": device, "bundle": bundle, "engine": engine, "mqtt": mqtt, "sparkplug": sparkplug}
    return config.model_copy(update=tables | {"remote": remote, "machines": machines})


def _anchored_source(source: str, folder: Path) -> str:
    scheme, _, rest = source.partition(":")
    if scheme in ("file", "folder", "raw") and rest not in ("", "-"):
        return f"{scheme}:{folder / rest}"
    if scheme == "sim":
        return _FILE_OPTION.sub(lambda option: f"{option[1]}{quote(str(folder / unquote(option[2])))}", source)
    return source
