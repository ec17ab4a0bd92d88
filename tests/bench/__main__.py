"""`make bench`: measure the device runtime, the streaming engine and many conditions, and write docs/benchmarks.md."""

from tests.bench import conditions, render, runtime, streaming

runtime.main()
streaming.measure(list(streaming.PARTS))
conditions.measure()
render.main()
