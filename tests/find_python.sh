#!/usr/bin/env bash
# Print the path of a working CPython of the version given (3.12), on the PATH or in pyenv; fail if there is none.
set -euo pipefail
for candidate in "$(command -v "python$1" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1"*/bin/python; do
    if [ -x "$candidate" ] && "$candidate" -c 'import ensurepip, sqlite3, ssl' 2>/dev/null; then
        echo "$candidate"
        exit 0
    fi
done
exit 1
