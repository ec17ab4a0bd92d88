"""The bundle: does it load, who signed it, do enrolled conditions fit it, do its graphs compute what they should."""

from __future__ import annotations

from collections.abc import Iterator

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.trust import UntrustedError
from asd_edge.config import MachineTable
from asd_edge.daemon.listening.conditions import KnownConditions
from asd_edge.doctor.choice import NOT_CHOSEN, is_chosen, served_bundle_of, usable_served_bundle
from asd_edge.doctor.device import Device, is_denied
from asd_edge.doctor.finding import Finding, fault, ok, warning
from asd_edge.errors import AsdEdgeError, ConfigError
from asd_edge.serving.verify import verify

_NOT_TRUSTED = (UntrustedError, ConfigError)  # a stranger's, or no keys to tell
_UNOPENED = "its manifest and graphs: this device does not trust it, as the check signature says"


def check_bundle(device: Device) -> Iterator[Finding]:
    """Yield what the bundle is."""
    try:
        manifest = device.bundle.manifest
    except _NOT_TRUSTED:
        yield ok("not opened", unseen=_UNOPENED)
        return
    served = served_bundle_of(device)
    there = ", ".join(f"{variant.kind}/{variant.precision}" for variant in manifest.variants)
    name = f"{manifest.name}, release {manifest.release} ({served.bundle_id[:12]})"
    which = f"{served.kind}/{served.precision} serves" if is_chosen(device) else NOT_CHOSEN
    yield ok(f"{name}: {there}; {which}")


def check_signature(device: Device) -> Iterator[Finding]:
    """Yield who signed the bundle, and whether this device may run it; first whether the trusted keys can be used."""
    if (refused := _keys_refused(device)) is not None:
        yield refused
        return
    try:
        bundle = device.bundle
    except _NOT_TRUSTED as error:
        yield fault(f"not to be run here: {error.found}", error.remedy)
        return
    except AsdEdgeError:  # as the check bundle says
        return
    if device.bundle_name == "default":
        yield ok("part of this package, which needs none")
        return
    claimed = ", ".join(bundle.signatures.keys) if bundle.signatures else None
    if device.config is None:
        yield ok(
            f"signatures of {claimed}" if claimed else "no signature",
            unseen="whether this device trusts it (needs --config)",
        )
        return
    if bundle.signed_by:
        yield ok(f"signed by {', '.join(bundle.signed_by)}")
    else:
        yield warning(
            f"run without a trusted signature ({claimed or 'it has none'}), as bundle.allow_unsigned says",
            "Sign it (asd-export sign), and name the file of public keys with bundle.trusted_keys_file.",
        )


def _keys_refused(device: Device) -> Finding | None:
    """Return what is wrong with the file of trusted keys, whatever bundle there is: it is needed to install one."""
    keys_file = None if device.config is None else device.config.bundle.trusted_keys_file
    if keys_file is None:
        return None
    from asd_edge.keys import read_authorised_keys

    try:
        read_authorised_keys(keys_file)
    except ConfigError as error:
        if is_denied(error):
            return ok("unknown", unseen=f"the trusted keys ({error.found}; use sudo)")
        return fault(f"{error.what}: {error.found}", error.remedy)
    return None


def check_conditions(device: Device) -> Iterator[Finding]:
    """Yield for each machine which conditions it is compared with, and whether they are of this bundle."""
    bundle = usable_served_bundle(device)
    if bundle is None or device.config is None:
        return
    state_dir = device.config.device.state_dir
    for machine in device.config.machines:
        conditions = KnownConditions(bundle, machine, state_dir)
        try:
            known = conditions.load()
        except AsdEdgeError as error:
            if is_denied(error):
                yield ok("unknown", subject=machine.id, unseen=f"its conditions ({error.found}; use sudo)")
            else:
                yield fault(f"{error.what}: {error.found}", error.remedy, subject=machine.id)
        else:
            if known is None:
                remedy = f"asd-edge enroll --config FILE --machine {machine.id} --condition NAME"
                yield warning("none yet: it cannot alarm", remedy, subject=machine.id)
            else:
                names = ", ".join(condition.name for condition in known.conditions)
                yield _over_budget(names, conditions, machine) or ok(names, subject=machine.id)


def _over_budget(names: str, conditions: KnownConditions, machine: MachineTable) -> Finding | None:
    """Return what is wrong with thresholds that alarm twice as often as is accepted: the factory's know no budget."""
    expected = {t.condition: t.calibration.expected.likely for t in conditions.thresholds if t.calibration.expected}
    worst = max(expected, key=expected.__getitem__, default=None)
    if worst is None or expected[worst] <= 2.0 * machine.alarms_per_week:
        return None
    rates = f"{expected[worst]:.0f} a week to be expected of {worst}, {machine.alarms_per_week:g} accepted"
    remedy = f"asd-edge threshold set --config FILE --machine {machine.id} --condition {worst}"
    return warning(f"{names}; false alarms: {rates}", remedy, subject=machine.id)


def check_parity(device: Device) -> Iterator[Finding]:
    """Yield for each graph of the bundle whether it embeds the golden segments here as it should."""
    try:
        bundle = device.bundle
    except _NOT_TRUSTED:
        yield ok("not run", unseen=_UNOPENED)
        return
    except AsdEdgeError:  # as the check bundle says
        return
    served = usable_served_bundle(device) if is_chosen(device) else None
    if not is_chosen(device):
        yield ok(NOT_CHOSEN, subject="serves")
    for variant in bundle.manifest.variants:
        serves = served is not None and (variant.kind, variant.precision) == (served.kind, served.precision)
        yield _parity(bundle.at(variant.precision, variant.kind), serves=serves)


def _parity(bundle: Bundle, *, serves: bool) -> Finding:
    name = f"{bundle.kind}/{bundle.precision}"
    say = fault if serves else warning
    try:
        verdict = verify(bundle)
    except AsdEdgeError as error:
        return say(f"{error.what}: {error.found}", error.remedy, subject=name)
    found = f"deviation {verdict.deviation:.1e} of {verdict.limit:.0e} allowed"
    if not verdict.passed:
        return say(found, "Do not serve it; report processor and versions to who made the bundle.", subject=name)
    return ok(f"{found}{', serves' if serves else ''}", subject=name)
