#!/usr/bin/env bash
# The device's tests on one Python version, in an environment with the base distribution alone. Output comes at the end.
# Tests marked `once` say the same on every version. Devices run 3.10 and 3.12 (JetPack 6 and 7); 3.13, which only
# developers have, gets what touches the language and its libraries most.
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
tests=(tests/contracts tests/edge)
if [ "$1" = 3.13 ]; then
    tests=(tests/contracts tests/edge/test_{imports,config_file,cli_commands,bundle_archive,site_state,control}.py)
    tests+=(tests/edge/test_{sources_file,sources_shared,daemon_machine,remote_requests,mqtt_sink}.py)
fi
"$environment/bin/python" -m pytest --quiet --numprocesses 3 --dist loadfile "${tests[@]}" -m "not slow and not once" \
    >"$log" 2>&1
