#!/usr/bin/env bash
# The device's tests on one Python version, in an environment with the base distribution alone. Output comes at the end.
set -euo pipefail
python=$(tests/find_python.sh "$1") || { echo "Python $1: not on this machine, skipped"; exit 0; }
environment=.venv-edge-$1
log=$(mktemp)
trap 'echo "Python $1, base installation:"; cat "$log"; rm -f "$log"' EXIT
if [ ! -e "$environment/ready" ] || [ pyproject.toml -nt "$environment/ready" ]; then
    "$python" -m venv --clear "$environment"
    "$environment/bin/python" -m pip install --quiet --editable '.[test]' 2>"$log"
    touch "$environment/ready"
fi
"$environment/bin/python" -m pytest --quiet --numprocesses 2 --dist loadfile tests/contracts tests/edge -m "not slow" >"$log" 2>&1
