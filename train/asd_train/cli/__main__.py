"""`python -m asd_train.cli` is `asd-train`: torchrun starts it on every device."""

from asd_train.cli import main

main()
