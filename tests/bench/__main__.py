"""`make bench`: measure runtime, streaming, many conditions and enrollment, and write docs/benchmarks.md."""

from tests.bench import conditions, enrollment, render, runtime, streaming

runtime.main()
streaming.measure(list(streaming.PARTS))
conditions.measure()
enrollment.main()
render.main()
