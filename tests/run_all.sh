#!/usr/bin/env bash
# All tests: everything in .venv, then the device's tests on the other Pythons that devices and developers have, without
# torch. Three processes for two cores: many tests wait for brokers and clocks. One thread each, or they would spin
# against each other.
set -euo pipefail
cd "$(dirname "$0")/.."
export OMP_NUM_THREADS=1
ASD_EDGE_FULL=1 .venv/bin/python -m pytest --numprocesses 3 --dist loadfile "$@"
own=$(.venv/bin/python -c 'import sys; print("{}.{}".format(*sys.version_info))')
for version in 3.10 3.11 3.12 3.13; do
    [ "$version" = "$own" ] || tests/run_base.sh "$version"
done
# Where systemd can boot in a container (docs/service.md); it says so where not. A boot that hangs is a failure.
timeout --kill-after=30 600 tests/systemd/run.sh
ls -d .venv-edge-* >/dev/null || { echo "no other Python from 3.10 to 3.13 to test the base installation on" >&2; exit 1; }
