"""Watch the scores of each of a machine's conditions for drift; what is suspected becomes an event, and no more."""

from __future__ import annotations

from collections.abc import Iterable

from asd_edge.enrollment.thresholds import KnownThreshold
from asd_edge.events import DriftSuspected, WindowScore
from asd_edge.scoring.drift import DriftSpec, DriftState, watch


class DriftWatch:
    """The slow statistics of one machine; one thread at a time."""

    def __init__(self, score_every_s: float) -> None:
        self._every_s = score_every_s
        self._specs: dict[str, DriftSpec] = {}
        self._states: dict[str, DriftState] = {}

    def expect(self, known: Iterable[KnownThreshold]) -> None:
        """Take the conditions as they are now; one whose calibration is another begins anew."""
        specs = {threshold.condition: DriftSpec.of(threshold.calibration) for threshold in known}
        kept = {name: state for name, state in self._states.items() if specs.get(name) == self._specs.get(name)}
        self._specs, self._states = specs, kept

    def take(self, window: WindowScore) -> DriftSuspected | None:
        """Take a window's score; return an event when drift is suspected from now on."""
        name = window.condition
        spec = None if name is None else self._specs.get(name)
        if spec is None or name is None or window.threshold is None:
            return None
        before = self._states.get(name, DriftState())
        after = watch(spec, before, score=window.score, threshold=window.threshold, seconds=self._every_s)
        self._states[name] = after
        if before.proposed or not after.proposed or after.average is None:
            return None
        return DriftSuspected(window.machine, window.time, name, after.average, spec.start, window.threshold)
