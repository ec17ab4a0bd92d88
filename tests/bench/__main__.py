"""`make bench`: measure the device runtime and write docs/benchmarks.md."""

from tests.bench import render, runtime

runtime.main()
render.main()
