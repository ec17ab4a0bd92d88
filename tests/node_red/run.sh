#!/usr/bin/env bash
# The example flow in a real Node-RED, at the example broker: `make test-node-red`, outside CI. Takes npm, Node.js 20, and 120 MB in
# the user's cache.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/asd-edge/node-red
[ -x "$cache/node_modules/.bin/node-red" ] || npm install --silent --no-audit --no-fund --prefix "$cache" node-red@4
NODE_RED=$cache/node_modules/.bin/node-red .venv/bin/python -m pytest -q -p no:cacheprovider tests/node_red/flow.py "$@"
