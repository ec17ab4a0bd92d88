"""`make bench`: measure the device runtime, the streaming engine, many conditions and enrollment, and write docs/benchmarks.md."""

from tests.bench import conditions, enrollment, render, runtime, streaming

runtime.main()
streaming.measure(list(streaming.PARTS))
conditions.measure()
enrollment.main()
render.main()
