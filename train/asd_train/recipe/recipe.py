"""A recipe: everything that a system is, from samples to thresholds."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import Field, model_validator

from asd_edge.dsp.clip_spectrum import ClipSpectrumSpec
from asd_edge.dsp.front_end import FrontEndSpec
from asd_edge.dsp.segments import SegmentSpec
from asd_edge.scoring.aggregation import Aggregation, WindowSpec
from asd_edge.scoring.backends.ensemble import Ensemble
from asd_edge.scoring.backends.kinds import AnyBackend
from asd_edge.scoring.backends.mixture_likelihood import MixtureLikelihood
from asd_edge.scoring.backends.nearest_centre import NearestCentre

from .networks import Network, TFResNetSize
from .tables import Table
from .training import Training


class About(Table):
    """What a recipe is: the `[about]` table, which is for people and no part of the system's digest."""

    system: str
    paper: str
    needs: str


class CalibrationRule(Table):
    """How thresholds are found: share of source normals kept out of training, and the quantile of their scores."""

    held_out: float = Field(gt=0, lt=0.5)
    quantile: float = Field(gt=0.5, lt=1)


class FineTuning(Table):
    """How `asd-train imprint --finetune` adapts a trained network to a few target clips (docs/finetuning.md).

    `batch`: crops an iteration. `source_clips`: clips a source class whose centre joins a single target class.
    """

    iterations: int = Field(ge=1)
    batch: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    source_clips: int = Field(ge=1)


class MachineRule(Table):
    """What one machine type has of its own; the rest is as the recipe says."""

    backend: AnyBackend | None = None
    aggregation: Aggregation | None = None


class Recipe(Table):
    """A system: front end, segments, network, training, scoring.

    Attributes:
        embedder: how the device runs the network, on whole segments or with the sound (docs/streaming.md).
        scope: one network for `all` machines, or one for each `machine` type.
        channel: which channel of multi-channel clips is heard (DCASE 2026: 0 near the machine, 1 far from it); None for
            clips of one channel. `asd-train fit --channel` has the last word.
        members: trainings of one ensemble, whose scores add up.
        snapshots: networks that each training gives to the ensemble, from equally spaced epochs.
        machines: by machine type, where a system treats some differently.
    """

    name: str
    embedder: Literal["segment", "stream"]
    scope: Literal["all", "machine"] = "all"
    channel: int | None = Field(ge=0, default=None)
    members: int = Field(ge=1, default=1)
    snapshots: int = Field(ge=1, default=1)
    front_end: FrontEndSpec
    segment: SegmentSpec
    window: WindowSpec
    aggregation: Aggregation
    network: Network
    training: Training
    backend: AnyBackend = NearestCentre()
    calibration: CalibrationRule
    finetune: FineTuning | None = None
    machines: dict[str, MachineRule] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _goes_together(self) -> Recipe:
        self._check_stream()
        objective, network = self.training.objective, self.network
        if (network.kind == "dense_autoencoder") != (objective.kind == "reconstruct"):
            raise ValueError(f"the network {network.kind} with the objective {objective.kind}")
        if (network.kind == "resnet18_flow") != (objective.kind == "outlier_exposure"):
            raise ValueError(f"the network {network.kind} with the objective {objective.kind}")
        if (network.kind == "mean_spectrum") != (objective.kind == "none"):
            raise ValueError(f"the network {network.kind} with the objective {objective.kind}")
        if self.finetune is not None and objective.kind == "none":
            raise ValueError("fine-tuning of a network without parameters")
        if network.kind == "compact_and_spectrum" and self.front_end.bands % network.bands_together:
            raise ValueError(f"{self.front_end.bands} bands, {network.bands_together} together")
        if self.training.pseudo_labels and self.front_end.feature != "log_mel":
            raise ValueError(f"pseudo-labels by log spectra with the feature {self.front_end.feature}")
        if (network.kind == "two_branch") != self.segment.spectrum:
            raise ValueError(f"the network {network.kind} with segment.spectrum = {str(self.segment.spectrum).lower()}")
        if self.training.mixup.at == "hidden" and network.kind != "tf_resnet":
            raise ValueError(f"mixup at a hidden layer of {network.kind}")
        if objective.kind == "outlier_exposure" and self.scope != "machine":
            raise ValueError("outlier exposure in one network for all machines: it tells one machine from the others")
        return self

    def _check_stream(self) -> None:
        if self.embedder == "segment":
            return
        if not isinstance(self.network, TFResNetSize) or self.network.pooling == "max":
            raise ValueError('embedder = "stream" with a network that strides in time or pools by maximum')
        if not self.segment.streamable:
            raise ValueError('embedder = "stream" with segments at a level of their own')
        if self.segment.frames % self.segment.step:
            raise ValueError(f"segments of {self.segment.frames} frames every {self.segment.step} in a stream")
        if self.members * self.snapshots > 1:
            raise ValueError('embedder = "stream" with an ensemble')

    def for_machine(self, machine: str) -> Recipe:
        """Return the recipe as it is for one machine, whose type is its name, or what follows a data set's prefix."""
        rule = next((r for kind, r in self.machines.items() if machine == kind or machine.endswith(f"-{kind}")), None)
        own = {} if rule is None else {key: value for key, value in rule if value is not None}
        return self.model_copy(update={**own, "machines": {}})

    @property
    def scorer(self) -> AnyBackend:
        """The backend of the run: of an ensemble the sum over its networks.

        Mixtures have as many components as a member's loss has sub-clusters (Wilkinghoff, DCASE 2021).
        """
        each = [self._member_backend(member) for member in range(self.members) for _ in range(self.snapshots)]
        return each[0] if len(each) == 1 else Ensemble.model_validate({"members": [b.model_dump() for b in each]})

    def _member_backend(self, member: int) -> AnyBackend:
        objective = self.training.objective
        losses = objective.losses if objective.kind == "classify" else ()
        for loss in losses:
            if loss.kind == "sub_cluster_adacos" and isinstance(self.backend, MixtureLikelihood):
                return self.backend.model_copy(update={"components": loss.of_member(member)})
        return self.backend

    @property
    def spectrum_bins(self) -> int:
        """Bins of the magnitude spectrum of a segment's samples, for networks that hear it."""
        return ClipSpectrumSpec.beside(self.front_end, self.segment).bins

    @property
    def sha256(self) -> str:
        """Digest of everything the recipe states."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
