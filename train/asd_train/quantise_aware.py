"""Quantisation-aware training: a trained network learns to give with rounded layers what it gives in float32.

Jacob et al. (CVPR 2018) and Krishnamoorthi (2018), as networks/fake_quantised.py says.

The run that comes out is an ordinary one. Nothing of int8 is kept in it, for nothing has to be: the export rounds the
weights as they were rounded here, with the largest of each output channel, and finds the activations' ranges again on
the sound that this training heard. The rounding here is near to the exported graph's and not the same
(networks/fake_quantised.py), and on the networks tried the exported graph gained nothing (docs/training.md).

The loss is not the recipe's own. A run keeps the network and not the class heads that it was trained through; fresh
heads would first pull the embeddings elsewhere, and the centres with them. What int8 must not change are the
embeddings, so they are the target (docs/training.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace

from asd_edge.errors import ConfigError, DataError

from .data.clip import Clip
from .objectives.imitate import Imitate
from .progress import Progress
from .recipe.training import Adam, Phase
from .run import Run
from .training.batches import Batches, Share
from .training.crops import context_of
from .training.fit import choose
from .training.loop import Done, train
from .training.material import gather
from .training.work import Work

LEARNING_RATE = 2e-5
"""The largest of a cycle; of Adam, whatever trained the network: the loss is another [ours]. In 50 steps of the default
network the loss fell by a third; at 1e-4 it did not."""


def quantise_aware(
    run: Run,
    clips: Sequence[Clip],
    *,
    epochs: int,
    seed: int = 0,
    progress: Progress,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
    work: Work | None = None,
) -> Run:
    """Train a run's network for int8, on the clips that it has learned from.

    Args:
        run: stays as it is.
        clips: of the run's data sets.
        epochs: passes over the training clips; a few are enough.
        seed: of order, crops and mixup.
        progress: shows bars.
        report: called with the epoch (from 1) and its mean loss.
        work: where it is computed.

    Raises:
        ConfigError: the network has nothing to learn.
        DataError: clips shorter than a training crop.
        SourceError: a clip cannot be read.
    """
    recipe = run.recipe
    if recipe.training.objective.kind == "none":
        raise ConfigError(
            "There is nothing to train in this run",
            found=f"the recipe {recipe.name}, whose network has no weights",
            expected="a network that was trained",
            remedy="Export it as it is.",
        )
    work = work or Work()
    network = deepcopy(run.network)
    clips = run.labelled(clips)
    chosen = choose(recipe, clips, run.machine, run.seed)
    material = gather(recipe, network, clips, chosen.clips, channel=run.channel, progress=progress, work=work)
    cycle = Phase(epochs=epochs, learning_rate=LEARNING_RATE, shape="one_cycle")
    training = recipe.training.model_copy(
        update={"schedule": (cycle,), "optimiser": Adam(kind="adam", weight_decay=0.0)}
    )
    fabric = work.fabric
    batches = Batches(
        material.clips,
        material.corpus,
        material.inputs,
        material.labels,
        training,
        seed=[seed, 4],
        share=Share(fabric.global_rank, fabric.world_size),
    )
    if batches.count() == 0:
        raise DataError(
            "There is not one batch to train with",
            found=f"{len(material.clips)} training clips",
            expected="at least two crops",
            remedy="Give the data sets of the run with --data.",
        )
    done = Done()
    train(
        fabric,
        Imitate(network, context=context_of(network, recipe)),
        batches,
        training,
        done,
        seed=seed,
        snapshots=1,
        checkpoint=None,
        resumed=None,
        logged=(),
        progress=progress,
        report=report,
    )
    (weights,) = done.kept
    network = deepcopy(run.network)
    network.load_state_dict(weights)
    return replace(run, network=network.eval(), quantise_aware=(*run.quantise_aware, *done.history))
