"""`python -m asd_edge.cli` is `asd-edge`."""

from asd_edge.cli import main

main()
