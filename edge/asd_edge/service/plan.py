"""The steps that install and remove the service. Everything is looked at before anything is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asd_edge.config import DeviceConfig
from asd_edge.errors import ServiceError
from asd_edge.service.files import (
    GPU,
    SHIPPED,
    STATE,
    SYSUSERS,
    TMPFILES,
    UNIT,
    credentials,
    is_edited,
    sealed,
    shipped,
    unit_text,
)
from asd_edge.service.steps import Leave, Remove, Run, Step, Write

# The unit's sandbox has none of these: ProtectHome=yes, and a /tmp of its own (PrivateTmp=).
_HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))
_OF_FILES = ("file", "folder", "raw")  # schemes of sources
_LOG = "journalctl -u asd-edge -n 50 says why."


@dataclass(frozen=True, slots=True)
class Place:
    """Where the service is installed.

    Args:
        program: the asd-edge that it runs, as the device sees it.
        config: the device file, as the device sees it.
        root: what the device calls /; another folder for an image, where no command is run.
        needed: what else of this installation the service must see: its Python, its packages.
    """

    program: Path
    config: Path
    root: Path = Path("/")
    needed: tuple[Path, ...] = ()

    def at(self, path: Path) -> Path:
        """Return where a file of the device lies now."""
        return self.root / path.relative_to("/")

    def on_device(self, path: Path) -> Path:
        """Return what the device calls a file."""
        return Path("/") / path.relative_to(self.root) if path.is_relative_to(self.root) else path

    @property
    def is_live(self) -> bool:
        """Whether this is the running system, whose systemd can be told."""
        return self.root == Path("/")


def install_plan(place: Place, config: DeviceConfig, *, gpu: bool, start: bool, force: bool) -> list[Step]:
    """Return the steps that install the service or bring it up to date.

    Args:
        place: where.
        config: what `place.config` says.
        gpu: whether the drop-in for the GPU belongs to it.
        start: whether it is started too, or started anew.
        force: whether files that somebody has edited are overwritten.

    Raises:
        ServiceError: the service could not run like this, or a file was edited.
    """
    for path in (place.program, place.config, *place.needed):
        _refuse_hidden(path)
    for key, named in _named(config):
        _refuse_hidden(place.on_device(named), key)
    _refuse_other_state(place, config)
    secrets = {name: place.on_device(path) for name, path in credentials(config).items()}
    for path in secrets.values():
        _refuse_missing(place.at(path))
    texts = {UNIT: unit_text(place.program, place.config, secrets), SYSUSERS: shipped(SYSUSERS)}
    texts[TMPFILES] = shipped(TMPFILES)
    if gpu:
        texts[GPU] = shipped(GPU)
    steps: list[Step] = [_file_step(place.at(path), sealed(text), force) for path, text in texts.items()]
    if place.is_live:
        steps += _live(start)
    return steps


def uninstall_plan(place: Place, *, force: bool) -> list[Step]:
    """Return the steps that remove the service, but nothing that somebody wrote, enrolled or recorded.

    Args:
        place: where; its program and device file are not looked at.
        force: whether files that somebody has edited are removed too.
    """
    steps: list[Step] = []
    if place.is_live and UNIT.exists():
        steps.append(Run(("systemctl", "disable", "--now", UNIT.name), _LOG))
    for path in map(place.at, SHIPPED):
        if path.exists():
            edited = is_edited(_read(path)) and not force
            steps.append(Leave(f"{path}: it was edited; --force removes it too") if edited else Remove(path))
    for path in _drop_ins(place):
        steps.append(Leave(f"{path}: not written by asd-edge service install"))
    if place.is_live:
        steps.append(Run(("systemctl", "daemon-reload"), "Is systemd this system's first process?"))
    kept = {STATE: "what was enrolled, heard and not yet delivered", place.config.parent: "the device file and keys"}
    steps += [Leave(f"{place.at(path)}: {what}") for path, what in kept.items() if place.at(path).exists()]
    return steps


def _live(start: bool) -> Iterator[Step]:
    yield Run(("systemd-sysusers", str(SYSUSERS)), "Add the groups audio, video and render by hand.")
    yield Run(("systemd-tmpfiles", "--create", str(TMPFILES)), f"Look at what {TMPFILES} names.")
    yield Run(("systemctl", "daemon-reload"), "Is systemd this system's first process?")
    yield Run(("systemctl", "enable", UNIT.name), "systemctl status asd-edge says more.")
    if start:
        yield Run(("systemctl", "restart", UNIT.name), _LOG)


def _file_step(path: Path, text: str, force: bool) -> Step:
    if not path.exists():
        return Write(path, text)
    found = _read(path)
    if found == text:
        return Leave(f"{path}: it says this already")
    if is_edited(found) and not force:
        raise ServiceError(
            f"{path} is not overwritten",
            found="a file that was edited, or that asd-edge service install did not write",
            expected="no file, or one that it wrote",
            remedy=f"Put your changes into a drop-in (systemctl edit {UNIT.stem}), then add --force.",
        )
    return Write(path, text)


def _drop_ins(place: Place) -> list[Path]:
    ours = place.at(GPU)
    return sorted(path for path in ours.parent.glob("*.conf") if path != ours)


def _named(config: DeviceConfig) -> Iterator[tuple[str, Path]]:
    """Yield the files and folders that the service opens itself, with their keys; of secrets it gets copies."""
    if config.bundle.path != "default":
        yield "bundle.path", Path(config.bundle.path)
    if config.bundle.trusted_keys_file is not None:
        yield "bundle.trusted_keys_file", config.bundle.trusted_keys_file
    for broker in config.destinations:
        if broker.tls is not None:
            for key, path in (("ca_file", broker.tls.ca_file), ("cert_file", broker.tls.cert_file)):
                if path is not None:
                    yield f"{broker.name}.tls.{key}", path
    for machine in config.machines:
        scheme, _, rest = machine.source.partition(":")
        if scheme in _OF_FILES:
            yield f"the source of machine {machine.id}", Path(rest)


def _refuse_hidden(path: Path, key: str | None = None) -> None:
    hidden = next((folder for folder in _HIDDEN if path.is_relative_to(folder)), None)
    if hidden is not None:
        raise ServiceError(
            "The service would not see its own files",
            found=f"{path}" if key is None else f"{path}, which is {key}",
            expected=f"a place outside of {hidden}, which the unit's sandbox hides",
            remedy="Install asd-edge into /opt/asd-edge, with its device file in /etc/asd-edge."
            if key is None
            else "Move it, to /etc/asd-edge or /srv for example, and correct the device file.",
        )


def _refuse_other_state(place: Place, config: DeviceConfig) -> None:
    for key, path in (("device.state_dir", config.device.state_dir), ("engine.cache_dir", config.engine.cache_dir)):
        if path is not None and not place.on_device(path).is_relative_to(STATE):
            raise ServiceError(
                f"The service could not write to {key}",
                found=f"{path}",
                expected=f"{STATE} or a folder in it: the only one that the unit lets it write to",
                remedy=f"Correct {key} in the device file.",
            )


def _refuse_missing(path: Path) -> None:
    if not os.path.isfile(path):  # False too where this user may not look
        raise ServiceError(
            "The service would not start",
            found=f"no file {path}",
            expected="the file that the device file names: systemd hands the service a copy of it",
            remedy=f"Write it (install -D -m 600 /dev/stdin {path}), or take its key out of the device file.",
        )


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):  # nobody's text of ours
        return ""
