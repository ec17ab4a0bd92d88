"""`make bench`: measure what this machine can, and write docs/benchmarks.md.

The table of all systems needs the real recordings, whose folder ASD_EDGE_REAL_DATA names, and hours; finished cells are
kept.
"""

import os

from tests.bench import (
    bundles,
    conditions,
    enrollment,
    render,
    runtime,
    streaming,
    systems,
    tensorrt_matrix,
    training_cost,
)

runtime.main()
streaming.measure(list(streaming.PARTS))
conditions.measure()
enrollment.main()
training_cost.main()
bundles.main()
tensorrt_matrix.main([])
if real := os.environ.get("ASD_EDGE_REAL_DATA"):
    systems.main(["--real-data", real])
else:
    print("The table of all systems was left out: ASD_EDGE_REAL_DATA names no folder of real recordings.")
render.main()
