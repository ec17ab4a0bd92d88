"""Training runs on disk: what was trained, on what, with which result. Reader and writer side by side.

A recipe with one network for all machines gives a run; one with a network for each machine type gives a folder of runs,
each named like its machine.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from asd_edge import __version__
from asd_edge.errors import DataError

from .data.clip import Clip
from .features.pseudo_labels import labelled
from .networks.build import trained_network
from .networks.network import EmbeddingNetwork
from .recipe import Recipe

_FORMAT = "asd-train-run"
_VERSION = 2


@dataclass(frozen=True)
class FineTuned:
    """One fine-tuning of a run's network, for the record.

    `classes`: the target classes. `source_classes`: those whose centres joined the sum of the loss, our extension for
    a single target class; empty when the loss was the published one. `history`: loss of each iteration.
    """

    seed: int
    classes: tuple[str, ...]
    source_classes: tuple[str, ...]
    history: tuple[float, ...]


@dataclass(frozen=True)
class Run:
    """A trained network with its provenance.

    Attributes:
        machine: whose network it is; None for one network of all machines.
        datasets: as given to --data.
        classes: joint classes of the clips it learned from.
        held_out: keys of the source normals that training never saw.
        history: mean training loss of each epoch, member after member.
        seconds: that training took, without reading the clips.
        finetuned: what was done to the network since, in order.
        pseudo_labels: attributes that were found for training clips without any, by their keys.
        quantise_aware: mean loss of each epoch in which the network has since learned to bear int8.
    """

    recipe: Recipe
    seed: int
    datasets: tuple[str, ...]
    channel: int | None
    classes: tuple[str, ...]
    held_out: tuple[str, ...]
    history: tuple[float, ...]
    network: EmbeddingNetwork
    machine: str | None = None
    seconds: float = 0.0
    finetuned: tuple[FineTuned, ...] = ()
    pseudo_labels: Mapping[str, str] = field(default_factory=dict)
    quantise_aware: tuple[float, ...] = ()

    def labelled(self, clips: Iterable[Clip]) -> list[Clip]:
        """Return the clips with the attributes that the run has found: what is learned of them needs the labels."""
        return labelled(clips, self.pseudo_labels)

    def hears(self, machine: str) -> bool:
        """Return whether the network was trained for this machine."""
        return self.machine in (None, machine)


def check_free(folder: Path) -> None:
    """Raise DataError if a run cannot be written to `folder`; called before hours of training, not after."""
    beside = next(parent for parent in folder.absolute().parents if os.path.exists(parent))
    try:
        # Tried, not asked: permissions say nothing of a full disk or a read-only one.
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=beside):
            pass
    except OSError as error:
        raise DataError(
            f"The run cannot be written to {folder}",
            found=f"{beside}: {error.strerror}",
            expected="a folder that can be written",
            remedy="Choose another --out, or mend its permissions.",
        ) from None
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            f"{folder} is taken",
            found="a file or a folder that is not empty",
            expected="a new folder for the run",
            remedy="Choose another --out, or remove it.",
        )


def save_run(run: Run, folder: Path) -> None:
    """Write one run as a whole or not at all.

    Raises:
        DataError: the folder is taken or cannot be written.
    """
    with _made_whole(folder) as new:
        _write(run, new)


def save_runs(runs: Sequence[Run], folder: Path) -> None:
    """Write the runs of one training as a whole or not at all: one run, or a folder with one for each machine.

    Raises:
        DataError: the folder is taken or cannot be written.
    """
    with _made_whole(folder) as new:
        for run in runs:
            _write(run, new if run.machine is None else new / run.machine)


@contextmanager
def _made_whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write into, which becomes `folder` when everything is written."""
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def load_runs(folder: Path) -> tuple[Run, ...]:
    """Read the runs of one recipe.

    Raises:
        DataError: the folder holds no run of this version.
    """
    if not (folder / "run.json").exists():
        inside = sorted(path.parent for path in folder.glob("*/run.json"))
        if inside:
            return tuple(load_run(path) for path in inside)
    return (load_run(folder),)


def run_for(machine: str | None, runs: Sequence[Run]) -> Run:
    """Return the run that was trained for a machine; None needs a single one.

    Raises:
        DataError: there is none, or several.
    """
    found = [run for run in runs if machine is None or run.hears(machine)]
    if len(found) != 1:
        raise DataError(
            "One network is needed",
            found=f"networks for {', '.join(run.machine or 'all machines' for run in runs)}",
            expected="the name of a machine that one of them was trained for",
            remedy=f"Add --machine {runs[0].machine or 'NAME'}",
        )
    return found[0]


def _write(run: Run, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    weights = {name: tensor.contiguous().cpu() for name, tensor in run.network.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    facts = {
        "format": _FORMAT,
        "version": _VERSION,
        "asd_edge": __version__,
        "torch": torch.__version__,
        "machine": run.machine,
        "seed": run.seed,
        "datasets": list(run.datasets),
        "channel": run.channel,
        "classes": list(run.classes),
        "held_out": list(run.held_out),
        "pseudo_labels": dict(run.pseudo_labels),
        "history": list(run.history),
        "seconds": run.seconds,
        "finetuned": [asdict(finetuned) for finetuned in run.finetuned],
        "quantise_aware": list(run.quantise_aware),
        "recipe": run.recipe.model_dump(mode="json"),
    }
    (folder / "run.json").write_text(json.dumps(facts, indent=1), "utf-8")


def load_run(folder: Path) -> Run:
    """Read one run.

    Raises:
        DataError: the folder is not a run of this version.
    """
    try:
        facts: dict[str, Any] = json.loads((folder / "run.json").read_text("utf-8"))
        if facts.get("format") != _FORMAT or facts.get("version") != _VERSION:
            raise ValueError(f"format {facts.get('format')!r} version {facts.get('version')!r}")
        recipe = Recipe.model_validate(facts["recipe"])
        network = trained_network(recipe, facts["classes"])
        network.load_state_dict(load_file(folder / "weights.safetensors"))
        network.eval()
        return Run(
            recipe=recipe,
            network=network,
            finetuned=tuple(
                FineTuned(f["seed"], tuple(f["classes"]), tuple(f["source_classes"]), tuple(f["history"]))
                for f in facts["finetuned"]
            ),
            machine=facts["machine"],
            seed=facts["seed"],
            datasets=tuple(facts["datasets"]),
            channel=facts["channel"],
            classes=tuple(facts["classes"]),
            held_out=tuple(facts["held_out"]),
            history=tuple(facts["history"]),
            seconds=facts["seconds"],
            pseudo_labels=facts.get("pseudo_labels", {}),
            quantise_aware=tuple(facts.get("quantise_aware", ())),
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{folder} is not a training run",
            found=str(error).splitlines()[0],
            expected=f"run.json ({_FORMAT} version {_VERSION}) and weights.safetensors",
            remedy="Make one: asd-train fit --data DIR --out RUN",
        ) from error
