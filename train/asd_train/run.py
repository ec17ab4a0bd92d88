"""A training run on disk: what was trained, on what, with which result. Reader and writer side by side."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from asd_edge import __version__
from asd_edge.errors import DataError

from .networks.mobilenetv2 import MobileNetV2
from .networks.network import EmbeddingNetwork
from .networks.tf_resnet import TFResNet
from .recipe import Recipe

_FORMAT = "asd-train-run"
_VERSION = 1


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

    `datasets`: as given to --data. `held_out`: keys of the source normals that training never saw.
    `history`: mean training loss of each epoch. `finetuned`: what was done to the network since, in order.
    """

    recipe: Recipe
    seed: int
    datasets: tuple[str, ...]
    channel: int | None
    classes: tuple[str, ...]
    held_out: tuple[str, ...]
    history: tuple[float, ...]
    network: EmbeddingNetwork
    finetuned: tuple[FineTuned, ...] = ()


def build_network(recipe: Recipe) -> EmbeddingNetwork:
    """Return the recipe's network with fresh weights."""
    network, bands = recipe.network, recipe.front_end.bands
    if network.kind == "mobilenetv2":
        return MobileNetV2(bands=bands, width=network.width, dims=network.dims)
    return TFResNet(
        bands=bands,
        width=network.width,
        pooling=network.pooling,
        heads=network.heads,
        dims=network.dims,
    )


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
    """Write the run as a whole or not at all.

    Raises:
        DataError: the folder is taken or cannot be written.
    """
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        weights = {name: tensor.contiguous().cpu() for name, tensor in run.network.state_dict().items()}
        save_file(weights, temporary / "weights.safetensors")
        facts = {
            "format": _FORMAT,
            "version": _VERSION,
            "asd_edge": __version__,
            "torch": torch.__version__,
            "seed": run.seed,
            "datasets": list(run.datasets),
            "channel": run.channel,
            "classes": list(run.classes),
            "held_out": list(run.held_out),
            "history": list(run.history),
            "finetuned": [asdict(finetuned) for finetuned in run.finetuned],
            "recipe": run.recipe.model_dump(),
        }
        (temporary / "run.json").write_text(json.dumps(facts, indent=1), "utf-8")
        temporary.chmod(0o755)
        os.replace(temporary, folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def load_run(folder: Path) -> Run:
    """Read a run.

    Raises:
        DataError: the folder is not a run of this version.
    """
    try:
        facts: dict[str, Any] = json.loads((folder / "run.json").read_text("utf-8"))
        if facts.get("format") != _FORMAT or facts.get("version") != _VERSION:
            raise ValueError(f"format {facts.get('format')!r} version {facts.get('version')!r}")
        recipe = Recipe.model_validate(facts["recipe"])
        network = build_network(recipe)
        network.load_state_dict(load_file(folder / "weights.safetensors"))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{folder} is not a training run",
            found=str(error).splitlines()[0],
            expected=f"run.json ({_FORMAT} version {_VERSION}) and weights.safetensors",
            remedy="Make one: asd-train fit --recipe tf_resnet --data DIR --out RUN",
        ) from error
    network.eval()
    return Run(
        recipe=recipe,
        seed=facts["seed"],
        datasets=tuple(facts["datasets"]),
        channel=facts["channel"],
        classes=tuple(facts["classes"]),
        held_out=tuple(facts["held_out"]),
        history=tuple(facts["history"]),
        network=network,
        finetuned=tuple(
            FineTuned(f["seed"], tuple(f["classes"]), tuple(f["source_classes"]), tuple(f["history"]))
            for f in facts.get("finetuned", [])  # runs from before fine-tuning say nothing of it
        ),
    )
