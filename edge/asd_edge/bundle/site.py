"""What a device learned about a machine: the documents of the operating conditions enrolled on site (docs/state.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.calibration import Calibration
from asd_edge.bundle.fitted import ArrayName, StoredArray
from asd_edge.errors import ConfigError, StateError
from asd_edge.scoring.backends.backend import Fitted
from asd_edge.scoring.conditions import Condition, ConditionSet
from asd_edge.strict import Name, RefusalError, Sha256, Strict, Text, UtcTime

FORMAT: Final = "asd-edge-site"
VERSION: Final = 2
MOST_CONDITIONS = 4096
MOST_ARRAYS = 1024  # an ensemble has some for each member

Threshold = Annotated[float, Field(gt=0.0)]


class EnrolledClip(Strict):
    """A recording that a condition was made from; the recording itself is not kept."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    sha256: Sha256


class EnrolledCondition(Strict):
    """An operating condition enrolled on site.

    `arrays`: what the bundle's backend made of the clips. `idle_floor`: a mean square. `segments`: how many were
    used. `forced`: it looked anomalous when it was enrolled, and a person said that it is normal all the same.
    """

    name: Name
    arrays: Annotated[dict[ArrayName, StoredArray], Field(min_length=1, max_length=MOST_ARRAYS)]
    threshold: Threshold
    calibration: Calibration
    idle_floor: Annotated[float, Field(ge=0.0)]
    clips: Annotated[tuple[EnrolledClip, ...], Field(min_length=1, max_length=1000)]
    segments: Annotated[int, Field(ge=1)]
    enrolled_utc: UtcTime
    author: Text
    bundle_id: Sha256
    forced: bool = False

    @property
    def fitted(self) -> Fitted:
        """What the backend learned, as arrays."""
        return {name: stored.array() for name, stored in self.arrays.items()}


class FactoryThreshold(Strict):
    """A threshold set on site for a condition that the factory delivered for a machine, `fan/00`.

    It holds while the device file names that machine.
    """

    factory: Text
    name: Text
    threshold: Threshold
    calibration: Calibration


class Change(Strict):
    """What made a revision: who did what to which condition, when, with which bundle."""

    action: Literal["enroll", "replace", "remove", "rollback", "import", "threshold"]
    subject: Text
    author: Text
    time_utc: UtcTime
    bundle_id: Sha256 | None = None


class SiteState(Strict):
    """The content of a site.json; `revision` rises by 1 with every change and is 0 before the first.

    `embedding_id` names the kind of embedding and backend that the conditions belong to: None while nothing is known.
    """

    format: Literal["asd-edge-site"] = FORMAT
    version: Literal[2] = VERSION
    revision: Annotated[int, Field(ge=0)] = 0
    change: Change | None = None
    embedding_id: Sha256 | None = None
    conditions: Annotated[tuple[EnrolledCondition, ...], Field(max_length=MOST_CONDITIONS)] = ()
    factory_thresholds: tuple[FactoryThreshold, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> SiteState:
        factory_names = [f"{t.factory} {t.name}" for t in self.factory_thresholds]
        for names in ([c.name for c in self.conditions], factory_names):
            if len(set(names)) != len(names):
                raise ValueError("two conditions of one name")
        if (self.conditions or self.factory_thresholds) and self.embedding_id is None:
            raise ValueError("conditions without the embedding_id they belong to")
        return self

    def condition(self, name: str) -> EnrolledCondition | None:
        """Return the enrolled condition of that name."""
        return next((condition for condition in self.conditions if condition.name == name), None)

    def of_bundle(self, bundle: Bundle) -> SiteState:
        """Return what of this can be compared with the bundle's embeddings: everything or nothing."""
        if self.embedding_id == bundle.embedding_id:
            return self
        return SiteState(revision=self.revision, embedding_id=bundle.embedding_id)

    def with_condition(self, condition: EnrolledCondition) -> SiteState:
        """Return this state with `condition` added, or in the place of the one of its name."""
        kept = tuple(other for other in self.conditions if other.name != condition.name)
        return self.model_copy(update={"conditions": (*kept, condition)})

    def without_condition(self, name: str) -> SiteState:
        """Return this state without the condition `name`."""
        kept = tuple(other for other in self.conditions if other.name != name)
        return self.model_copy(update={"conditions": kept})

    def with_factory_threshold(self, threshold: FactoryThreshold) -> SiteState:
        """Return this state with another threshold of a factory condition."""
        which = threshold.factory, threshold.name
        kept = tuple(other for other in self.factory_thresholds if (other.factory, other.name) != which)
        return self.model_copy(update={"factory_thresholds": (*kept, threshold)})


def condition_set(
    bundle: Bundle,
    factory: tuple[str, str] | None,
    site: SiteState,
    *,
    idle_below_dbfs: float | None = None,
) -> ConditionSet | None:
    """Return everything normal that is known of a machine; None when there is nothing to compare with.

    Args:
        bundle: the bundle in use.
        factory: (machine, section) whose factory conditions to use too.
        site: what was enrolled.
        idle_below_dbfs: idle floor set by hand. Without it the lowest enrolled floor holds, whose levels are
            this microphone's; the factory's when nothing is enrolled.

    Raises:
        StateError: the conditions were enrolled with another bundle.
        ConfigError: the bundle does not know the factory machine.
    """
    check_comparable(bundle, site)
    known = None if factory is None else _factory(bundle, factory, site.factory_thresholds)
    conditions = (known.conditions if known else ()) + tuple(
        enrolled_condition(bundle, condition) for condition in site.conditions
    )
    if not conditions:
        return None
    if idle_below_dbfs is not None:
        return ConditionSet(bundle.manifest.backend, conditions, 10.0 ** (idle_below_dbfs / 10.0))
    floors = [condition.idle_floor for condition in site.conditions]
    floor = min(floors) if floors else known.idle_floor if known else 0.0
    return ConditionSet(bundle.manifest.backend, conditions, floor)


def check_comparable(bundle: Bundle, site: SiteState) -> None:
    """Refuse conditions that cannot be compared with the bundle's embeddings.

    Raises:
        StateError: the conditions were enrolled with another bundle, or with another variant of this one.
    """
    if (site.conditions or site.factory_thresholds) and site.embedding_id != bundle.embedding_id:
        views = [bundle.at(variant.precision, variant.kind) for variant in bundle.manifest.variants]
        theirs = next((view for view in views if view.embedding_id == site.embedding_id), None)
        if theirs is not None:
            raise StateError(
                "The enrolled conditions belong to another graph of the bundle: embeddings of two cannot be compared",
                found=f"conditions of {theirs.kind}/{theirs.precision}",
                expected=f"conditions of {bundle.kind}/{bundle.precision}, which is served",
                remedy=f'Go back with bundle.precision = "{theirs.precision}" in the device file, or enroll all '
                "conditions again: the first one takes the place of the old ones, which stay among the revisions.",
            )
        raise StateError(
            "The enrolled conditions belong to another bundle: embeddings of two cannot be compared",
            found=f"conditions of the embedding {str(site.embedding_id)[:12]}",
            expected=f"conditions of the embedding {bundle.embedding_id[:12]} of the bundle {bundle.manifest.name!r}",
            remedy="Go back to the bundle they were enrolled with, or enroll all conditions again: the first one "
            "enrolled with the new bundle takes the place of the old ones, which stay among the revisions.",
        )


def _factory(bundle: Bundle, factory: tuple[str, str], thresholds: Sequence[FactoryThreshold]) -> ConditionSet:
    known = bundle.factory_conditions(*factory)
    if known is None:
        raise ConfigError(
            f"The bundle {bundle.manifest.name!r} does not know the machine that the device file names",
            found=f'factory = "{"/".join(factory)}"',
            expected=f"one of {', '.join(machine.key for machine in bundle.machines) or 'none'}",
            remedy="Correct the key, or leave it out and enroll the machine.",
        )
    set_here = {t.name: t.threshold for t in thresholds if t.factory == "/".join(factory)}
    conditions = tuple(replace(c, threshold=set_here.get(c.name, c.threshold)) for c in known.conditions)
    return replace(known, conditions=conditions)


def enrolled_condition(bundle: Bundle, condition: EnrolledCondition) -> Condition:
    """Return a stored condition in the form that scores.

    Raises:
        StateError: its arrays do not fit the bundle.
    """
    try:
        bundle.manifest.backend.check(condition.fitted, bundle.manifest.dims)
    except RefusalError as refusal:
        raise StateError(
            f"The enrolled condition {condition.name!r} does not fit the bundle",
            found=refusal.found,
            expected=refusal.expected,
            remedy="Enroll the condition again.",
        ) from None
    return Condition(condition.name, condition.fitted, condition.threshold)
