"""Which precision of its bundle a device serves: what the device file, the kept choice and the enrolled conditions say.

Every command that looks at embeddings asks here, so that a condition is enrolled with the graph that scores it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.site import SiteState
from asd_edge.bundle.site_store import SiteStore
from asd_edge.bundle.trust import load_trusted
from asd_edge.bundle.variants import PRECISIONS, Precision
from asd_edge.config import DeviceConfig
from asd_edge.errors import BundleError, StateError
from asd_edge.serving.choice import kept_choice
from asd_edge.serving.choose import choose
from asd_edge.serving.decide import Enrolled, precision_of
from asd_edge.serving.measuring import measuring

_log = logging.getLogger(__name__)


def served_bundle(config: DeviceConfig, tell: Callable[[str], None] = _log.info) -> Bundle:
    """Return the bundle that a device runs, seen as the variant that it serves.

    With `precision = "auto"` the first who asks measures, which takes about two seconds, and everybody after that finds
    the choice. Where conditions are enrolled already, theirs is the precision, and nothing is measured.

    Args:
        config: the device.
        tell: takes a line when something was measured.

    Raises:
        BundleError: the bundle cannot be used, is not trusted, or does not have the precision.
        ConfigError: the trusted keys cannot be used.
    """
    bundle = load_trusted(config.bundle)
    precision = known_precision(config, bundle)
    if precision is None:
        with measuring(config.device.state_dir):
            known = known_precision(config, bundle)  # another may just have measured
            precision = known or _measured(config, bundle, tell)
    return seen_at(bundle, precision, config)


def seen_at(bundle: Bundle, precision: Precision, config: DeviceConfig) -> Bundle:
    """Return the bundle seen at a precision that the device file may have asked for.

    Raises:
        BundleError: it does not have it; if so, the key of the device file is named.
    """
    try:
        return bundle.at(precision)
    except BundleError as error:
        if config.bundle.precision != precision:
            raise
        raise BundleError(
            error.what,
            found=f'{error.found} by bundle.precision = "{precision}" in the device file',
            expected=error.expected,
            remedy="Correct that key, or export the bundle again with --precision and install it.",
        ) from None


def _measured(config: DeviceConfig, bundle: Bundle, tell: Callable[[str], None]) -> Precision:
    _log.info("Measuring which precision of %s is the fastest here; this is done once", bundle.manifest.name)
    choice = choose(config, bundle, enrolled={})
    tell(f"{choice.precision} is served: {choice.precision_why} ({choice.engine_why})")
    return choice.precision


def known_precision(config: DeviceConfig, bundle: Bundle) -> Precision | None:
    """Return which precision is served, which the bundle may lack; None where it has to be measured first."""
    if config.bundle.precision != "auto":
        return config.bundle.precision
    choice = kept_choice(config.device.state_dir, bundle)
    if choice is not None and choice.forced:
        return choice.precision
    enrolled = enrolled_with(config, bundle)
    there = precisions(bundle)
    if len(there) == 1:
        return there[0]
    if choice is not None and (not enrolled or choice.precision in enrolled):
        return choice.precision
    return precision_of(enrolled) if enrolled else None


def enrolled_with(config: DeviceConfig, bundle: Bundle) -> Enrolled:
    """Return which machines of the device have conditions of their own, by the precision of the bundle they belong to.

    Those of another bundle belong to none, and a state that cannot be read tells nothing: neither holds a precision.
    """
    of = {bundle.at(precision).embedding_id: precision for precision in reversed(precisions(bundle))}
    found: dict[Precision, list[str]] = {}
    for machine in config.machines:
        try:
            site = SiteStore(config.device.state_dir, machine.id).load()
        except StateError as error:
            _log.warning("What is enrolled of %s does not count for the precision. %s", machine.id, error)
            continue
        precision = None if site.embedding_id is None else of.get(site.embedding_id)
        if precision is not None and (site.conditions or site.factory_thresholds):
            found.setdefault(precision, []).append(machine.id)
    return found


def served_after(config: DeviceConfig, bundle: Bundle, machine: str, site: SiteState) -> Bundle:
    """Return the bundle seen as the variant that is served once a machine's state is `site`.

    With `precision = "auto"` that is the one that its conditions were enrolled with, unless another machine's hold
    another, or a person forced one.

    Args:
        config: the device.
        bundle: seen as the variant that is served now.
        machine: whose state it would be.
        site: the state.
    """
    choice = kept_choice(config.device.state_dir, bundle)
    if config.bundle.precision != "auto" or (choice is not None and choice.forced):
        return bundle
    if any(name != machine for names in enrolled_with(config, bundle).values() for name in names):
        return bundle
    views = (bundle.at(precision) for precision in precisions(bundle))
    return next((view for view in views if view.embedding_id == site.embedding_id), bundle)


def precisions(bundle: Bundle) -> tuple[Precision, ...]:
    """Return the precisions that a bundle has of the kind in view, the exactest first."""
    return tuple(p for p in PRECISIONS if bundle.manifest.variant(bundle.kind, p) is not None)
