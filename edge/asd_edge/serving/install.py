"""`asd-edge install`: another bundle takes the place of the one a device runs, after everything was checked.

The lowest release that may come is the highest that ever was, so that a bundle with a known weakness, genuinely signed
at its time, is not brought back by mistake or by whoever hands a file to those who install (rollback attack; The
Update Framework, 1.5.2). Who installs can go past that with --force, and the record says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.site_store import SiteStore
from asd_edge.bundle.trust import read_trusted
from asd_edge.bundle.variants import Precision
from asd_edge.config import DeviceConfig, MachineTable
from asd_edge.errors import BundleError, EngineError, StateError
from asd_edge.serving.installed import How, Installed, InstallRecord, Release, extended, read_record
from asd_edge.serving.place import Place
from asd_edge.serving.served import known_precision, precisions, seen_at
from asd_edge.serving.verify import LIMITS, verify

_INSTALL = "Install the one that you want: asd-edge install BUNDLE --config FILE."


@dataclass(frozen=True)
class Outcome:
    """What an installation did.

    Args:
        present: what is in place now.
        replaced: what was, and is the one before now; None where nothing was, or nothing to go back to.
        dropped: why what was there is not the one before now, which stayed; None where it is, or nothing was.
        changed: false where the very same file was there already.
        idle: what was enrolled and is not compared with any more, by machine.
        untrue: of each precision that fails parity here and does not serve, what was found.
    """

    present: Installed
    replaced: Installed | None
    dropped: str | None
    changed: bool
    idle: dict[str, list[str]]
    untrue: tuple[str, ...]


def install(
    candidate: Path, config: DeviceConfig, *, author: str, force: bool = False, enroll_again: bool = False
) -> Outcome:
    """Install a bundle file.

    Args:
        candidate: the file.
        config: the device.
        author: whose name stands in the record.
        force: whether its release may be lower than one before, or the same with another content.
        enroll_again: whether conditions that were enrolled may end to be used.

    Raises:
        AsdEdgeError: it cannot be used here or could not be put in place; everything is as it was.
    """
    place = Place.of(config)
    with place.exclusive(author):
        return _put(candidate, place, config, "forced" if force else "installed", author, enroll_again)


def take_back(config: DeviceConfig, *, author: str, force: bool = False, enroll_again: bool = False) -> Outcome:
    """Install the bundle before the present one, whatever its release; the present one becomes the one before.

    Args:
        config, author, enroll_again: as for `install`.
        force: whether it may be one that the record does not know.

    Raises:
        AsdEdgeError: there is none, or as `install`.
    """
    place = Place.of(config)
    with place.exclusive(author):
        if not place.previous.exists():
            raise StateError(
                "There is no bundle to go back to",
                found=f"nothing at {place.previous}",
                expected="the bundle before the present one, which an installation keeps",
                remedy=_INSTALL,
            )
        return _put(place.previous, place, config, "forced" if force else "taken back", author, enroll_again)


def _put(candidate: Path, place: Place, config: DeviceConfig, how: How, author: str, enroll_again: bool) -> Outcome:
    back = candidate == place.previous
    bundle, archive = read_trusted(candidate, config.bundle, remedy=_INSTALL if back else None)
    if config.bundle.precision != "auto":  # what is served of it
        bundle = seen_at(bundle, config.bundle.precision, config)
    record, present, refusal = _agreed(place, config)
    entry = Installed.of(bundle, archive, how, author)
    if how == "installed" and record is not None:
        _check_release(candidate, entry, record, place)
    if how == "taken back":
        _check_known(candidate, entry, record)
    _check_machines(bundle, config.machines)
    idle = _idle(bundle, present, config)
    if idle and not enroll_again:
        raise _would_be_idle(candidate, idle, back=back)
    untrue = _check_golden(candidate, bundle, known_precision(config, bundle))
    was = record.history[-1] if record is not None and present is not None else None
    if was is not None and was.bundle_id == entry.bundle_id:
        return Outcome(was, None, None, changed=False, idle=idle, untrue=untrue)
    # There is one place for a bundle to go back to: it is for one that serves, and is another than the new one.
    dropped = refusal
    if was is not None and was.content == entry.content and not back:
        dropped = "it has the same content, with other signatures"
    place.replace(archive, extended(record, entry), keep=dropped is None)
    return Outcome(entry, was if dropped is None else None, dropped, changed=True, idle=idle, untrue=untrue)


def _agreed(place: Place, config: DeviceConfig) -> tuple[InstallRecord | None, Bundle | None, str | None]:
    """Return the record; the present bundle, its last entry; and why there is none though there is a file.

    A file that was copied there by hand, or by an installation killed before its last step, is written down now.
    """
    record = read_record(place.record)
    try:
        bundle, archive = read_trusted(place.path, config.bundle)
    except BundleError as error:  # no reason not to install a good one
        return record, None, error.found if place.path.exists() else None
    if record is None or record.history[-1].bundle_id != bundle.bundle_id:
        record = extended(record, Installed.of(bundle, archive, "found", "unknown"))
        place.note(record)
    return record, bundle, None


def _check_release(candidate: Path, new: Release, record: InstallRecord, place: Place) -> None:
    """Refuse an older one. What the record holds as the present one may come again, to mend its file."""
    highest = record.highest
    if new.release > highest.release or new.content in (highest.content, record.history[-1].content):
        return
    found, remedy = f"release {new.release}", "Install a newer one"
    if new.release == highest.release:
        found, remedy = f"{found} with another content", "Export it again with a higher release"
    back = " To go back to the bundle before this one: --previous." if place.previous.exists() else ""
    raise BundleError(
        f"The bundle {candidate} is not newer than what this device had",
        found=found,
        expected=f"more than release {highest.release}, or that one itself, or the present one again",
        remedy=f"{remedy}.{back} To install it all the same: --force.",
    )


def _check_known(candidate: Path, entry: Installed, record: InstallRecord | None) -> None:
    """Refuse any other genuine bundle that somebody put in the place of the one before."""
    if record is None or entry.bundle_id not in {known.bundle_id for known in record.history}:
        raise BundleError(
            f"The bundle {candidate} was never installed on this device",
            found=f"release {entry.release} ({entry.bundle_id[:12]}), which the record does not know",
            expected="the bundle before the present one, as an installation kept it",
            remedy="See asd-edge install --list. To install it all the same: --previous --force.",
        )


def _check_machines(bundle: Bundle, machines: Sequence[MachineTable]) -> None:
    for machine in machines:
        if machine.factory_key is not None and bundle.factory_conditions(*machine.factory_key) is None:
            raise BundleError(
                f"The factory of the bundle {bundle.manifest.name} does not know the machine {machine.id}",
                found=f"factory = {machine.factory!r} in the device file",
                expected=f"one of {', '.join(known.key for known in bundle.machines) or 'none'}",
                remedy="Correct or remove that key, or export the bundle with the data of this machine.",
            )


def _idle(bundle: Bundle, present: Bundle | None, config: DeviceConfig) -> dict[str, list[str]]:
    """Return what was enrolled and fits no variant of the bundle, though the present one's; by machine."""
    found: dict[str, list[str]] = {}
    for machine in config.machines:
        site = SiteStore(config.device.state_dir, machine.id).load()
        if site.embedding_id in _embedding_ids(bundle):
            continue
        if present is not None and site.embedding_id not in _embedding_ids(present):
            continue
        names = [condition.name for condition in site.conditions]
        names += [f"threshold of factory/{threshold.name}" for threshold in site.factory_thresholds]
        if names:
            found[machine.id] = names
    return found


def _embedding_ids(bundle: Bundle) -> set[str]:
    return {bundle.at(variant.precision, variant.kind).embedding_id for variant in bundle.manifest.variants}


def _would_be_idle(candidate: Path, idle: dict[str, list[str]], *, back: bool) -> BundleError:
    again = "the present bundle is back" if back else "you go back with --previous"
    return BundleError(
        f"What was enrolled on this device does not fit the bundle {candidate}",
        found="; ".join(f"{machine}: {', '.join(names)}" for machine, names in idle.items()),
        expected="the graphs, front end and backend that it was enrolled with",
        remedy="Give --enroll-again and enroll these anew; until then their machines are not scored. They stay on the "
        f"disk, and hold again when {again}.",
    )


def _check_golden(candidate: Path, bundle: Bundle, served: Precision | None) -> tuple[str, ...]:
    """Hold each precision of the kind that serves to the golden segments; return what fails and does not serve.

    Every device must be able to fall back on fp32. Where the fastest is still to be measured, `served` is None: what
    fails here will not be chosen.
    """
    untrue = []
    for precision in precisions(bundle):
        try:
            verdict = verify(bundle.at(precision))
            found = None if verdict.passed else str(verdict)
        except EngineError as error:
            found = f"{bundle.kind}/{precision}: {error.what}: {error.found}"
        if found is not None and precision in ("fp32", served):
            raise BundleError(
                f"The bundle {candidate} does not embed its golden segments here as it should",
                found=found,
                expected=f"a deviation of at most {LIMITS[precision]:.0e} of what is served, and of fp32",
                remedy="Do not use it here; try another onnxruntime, or another precision in the device file.",
            )
        untrue += [found] if found is not None else []
    return tuple(untrue)
