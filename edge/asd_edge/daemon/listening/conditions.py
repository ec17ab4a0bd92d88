"""What is known of a machine right now: factory centres, enrolled conditions, the idle level set by hand."""

from __future__ import annotations

from pathlib import Path

from asd_edge.bundle.bundle import Bundle
from asd_edge.bundle.site import Change, condition_set
from asd_edge.bundle.site_store import SiteStore
from asd_edge.config import MachineTable
from asd_edge.enrollment.thresholds import KnownThreshold, thresholds_of
from asd_edge.errors import StateError
from asd_edge.scoring.conditions import ConditionSet


class KnownConditions:
    """The conditions of one machine, and whether they have changed on the disk since they were loaded."""

    def __init__(self, bundle: Bundle, machine: MachineTable, state_dir: Path) -> None:
        self._bundle = bundle
        self._machine = machine
        self._store = SiteStore(state_dir, machine.id)
        self.folder = self._store.folder
        """The machine's state."""
        self._stamp = self._store.stamp()
        self.revision = 0
        """Number of the revision that was loaded last."""
        self.change: Change | None = None
        """What made it."""
        self.thresholds: list[KnownThreshold] = []
        """Of the conditions that were loaded last, with where they come from."""

    def load(self) -> ConditionSet | None:
        """Return what a window is compared with now; None when nothing is known of this machine.

        Raises:
            StateError: the machine's state cannot be used.
            ConfigError: the bundle does not know the factory machine.
        """
        # The stamp comes first: a change in between is then seen again, never missed.
        self._stamp = self._store.stamp()
        site = self._store.load()
        if site.revision == 0 and self.revision > 0:
            raise self._gone()
        known = condition_set(
            self._bundle, self._machine.factory_key, site, idle_below_dbfs=self._machine.idle_below_dbfs
        )
        self.revision, self.change = site.revision, site.change
        self.thresholds = thresholds_of(known, self._bundle, self._machine.factory_key, site)
        return known

    def _gone(self) -> StateError:
        """Return the error of conditions that vanished with their folder: that is no order to forget them."""
        return StateError(
            f"The stored conditions of {self._machine.id} are gone",
            found=f"nothing at {self._store.path}",
            expected=f"revision {self.revision} or a later one",
            remedy="Mount or restore device.state_dir. To forget conditions, remove them (asd-edge conditions remove).",
        )

    def changed(self) -> bool:
        """Say whether the state is another one than was loaded last; costs one stat()."""
        return self._store.stamp() != self._stamp

    def enrolling(self) -> str | None:
        """Say who is changing the state right now; None when nobody is."""
        return self._store.busy()
