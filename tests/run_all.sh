#!/usr/bin/env bash
# All tests: everything in .venv, then the device's tests on every Python this machine has, without torch, two
# versions at a time (they mostly wait for brokers and clocks).
set -euo pipefail
cd "$(dirname "$0")/.."
ASD_EDGE_FULL=1 .venv/bin/python -m pytest "$@"
printf '%s\n' 3.10 3.11 3.12 3.13 | xargs -P 2 -I '{}' tests/run_base.sh '{}'
ls -d .venv-edge-* >/dev/null || { echo "no Python from 3.10 to 3.13 to test the base installation on" >&2; exit 1; }
