"""What a bundle of every kind and precision weighs: `python -m tests.bench.bundles`.

tf_resnet at full and at half width after two passes over a small simulated data set: sizes and speeds do not depend on
the training. Writes docs/benchmarks/bundles.json.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from asd_edge.bundle.variants import PRECISIONS
from asd_export.bundle import export_bundle
from asd_export.variants import LeftOut
from asd_train.data.dcase import read_datasets
from asd_train.progress import Progress
from asd_train.recipe import Recipe, load_recipe
from asd_train.training.fit import fit
from tests.bench.machine import machine
from tests.train.every_recipe import two_sections

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks" / "bundles.json"
WIDTHS = (1.0, 0.5)
SILENT = Progress(enabled=False)


def main() -> None:
    """Export both widths and write the results."""
    results = {"machine": machine("torch", "onnx", "onnxruntime"), "bundles": [measure(width) for width in WIDTHS]}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


def measure(width: float) -> dict[str, Any]:
    """Return the bytes of a bundle and of its graphs, and how many times as fast as fp32 each variant runs."""
    values = load_recipe("tf_resnet").model_dump()
    values["network"]["width"] = width
    values["training"] |= {"schedule": [{"epochs": 2, "learning_rate": 0.05}], "batch": 8}
    with tempfile.TemporaryDirectory() as folder:
        two_sections(Path(folder) / "data")
        clips = read_datasets([str(Path(folder) / "data")])
        run = fit(Recipe.model_validate(values), clips, datasets=[], seed=0, progress=SILENT)
        path, left_out = Path(folder) / "all.asd", list[LeftOut]()
        bundle = export_bundle(
            run, clips, path, name="all", precisions=PRECISIONS, left_out=left_out.append, progress=SILENT
        )
        return {
            "width": width,
            "bytes": path.stat().st_size,
            "graphs": {name: len(graph) for name, graph in bundle.graphs.items()},
            "speed": {
                f"{v.kind}/{v.precision}": [v.parity.speed, v.parity.speed_deviation]
                for v in bundle.manifest.variants
                if v.parity.speed is not None
            },
            "left_out": [f"{one.kind}/{one.precision}: {one.why}" for one in left_out],
        }


if __name__ == "__main__":
    main()
