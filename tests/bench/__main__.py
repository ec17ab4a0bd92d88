"""`make bench`: measure the device runtime and the streaming engine, and write docs/benchmarks.md."""

from tests.bench import render, runtime, streaming

runtime.main()
streaming.measure(list(streaming.PARTS))
render.main()
