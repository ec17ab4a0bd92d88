"""A training pass of tf_resnet over 1,000 clips of ten seconds, one crop of 64 frames each, and who waits for whom.

    python -m tests.bench.training_cost

Full width, all cores. With the context in which a stream network hears a crop (23 frames on either side), as the recipe
trains, and without it. The share of the step: what is not spent waiting for a batch.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asd_train.data.clip import Clip
from asd_train.features.corpus import Corpus
from asd_train.features.prefetch import prefetch
from asd_train.labels import LabelSet
from asd_train.networks.build import build_network
from asd_train.objectives.build import build_objective
from asd_train.recipe import Recipe, load_recipe
from asd_train.training.batches import Batches
from asd_train.training.crops import context_of
from asd_train.training.inputs import StoredFeatures
from asd_train.training.optimise import descend, optimiser_of
from tests.bench.machine import machine

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks" / "training_cost.json"
CLIPS, FRAMES, CLASSES = 1000, 311, 75


def main() -> None:
    """Measure both, and keep the figures."""
    published = load_recipe("tf_resnet")
    alone = Recipe.model_validate(published.model_dump(mode="json") | {"embedder": "segment"})
    results = {"with_context": _pass(published), "without_context": _pass(alone), "machine": machine("torch")}
    results["threads"] = torch.get_num_threads()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


def _pass(recipe: Recipe) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    clips = [
        Clip(
            Path(f"{i}.wav"), f"machine_{i % 7}", "00", "source", "train", anomalous=False, attributes=str(i % CLASSES)
        )
        for i in range(CLIPS)
    ]
    features = generator.normal(size=(CLIPS * FRAMES, recipe.front_end.bands)).astype(np.float32)
    corpus = Corpus.of_rows(features, [FRAMES] * CLIPS)
    labels = {"attributes": LabelSet(clips, "attributes")}
    network = build_network(recipe, [])
    context = context_of(network, recipe)
    objective = build_objective(recipe, network, labels, context=context, member=0, machine=None)
    inputs = StoredFeatures(recipe.training.crops.frames + 2 * context)
    batches = Batches(clips, corpus, inputs, labels, recipe.training, seed=[0])
    optimiser = optimiser_of(objective.parameters(), recipe.training.optimiser, 0.1)
    for batch in list(batches.epoch(0))[:2]:  # warm up
        descend(optimiser, objective(batch))
    start, stepping = time.perf_counter(), 0.0
    for batch in prefetch(batches.epoch(1)):
        begun = time.perf_counter()
        descend(optimiser, objective(batch))
        stepping += time.perf_counter() - begun
    whole = time.perf_counter() - start
    return {
        "seconds": round(whole, 1),
        "clips_a_second": round(CLIPS / whole, 1),
        "in_step": round(stepping / whole, 4),
    }


if __name__ == "__main__":
    main()
