#!/usr/bin/env bash
# All tests: everything in .venv, then the device's tests on every Python this machine has, without torch.
set -euo pipefail
cd "$(dirname "$0")/.."
ASD_EDGE_FULL=1 .venv/bin/python -m pytest "$@"
for version in 3.10 3.11 3.12 3.13; do
    python=$(tests/find_python.sh "$version") || { echo "Python $version: not on this machine, skipped"; continue; }
    environment=.venv-edge-$version
    if [ ! -e "$environment/ready" ] || [ pyproject.toml -nt "$environment/ready" ]; then
        "$python" -m venv --clear "$environment"
        "$environment/bin/python" -m pip install --quiet --editable '.[test]'
        touch "$environment/ready"
    fi
    echo "Python $version, base installation:"
    "$environment/bin/python" -m pytest --quiet tests/contracts tests/edge -m "not slow"
done
