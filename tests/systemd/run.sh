#!/usr/bin/env bash
# The service on a systemd that really boots: `make test-systemd`. docs/service.md says what it proves. A Debian 12 in a
# container of systemd-nspawn, with this project's wheel in /opt/asd-edge as a device has it. The system and the wheels
# it needs are kept in the folder ASD_EDGE_SYSTEMD; what a boot changes is forgotten with it (--volatile=overlay).
set -Eeuo pipefail
cd "$(dirname "$0")/../.."
cache=${ASD_EDGE_SYSTEMD:-${XDG_CACHE_HOME:-$HOME/.cache}/asd-edge/systemd}
root=$cache/bookworm

skip() { echo "SKIPPED: the service on a booted systemd: $1"; exit 0; }

install_tools() {
    local missing=()
    command -v systemd-nspawn >/dev/null || missing+=(systemd-container)
    [ -x /usr/sbin/debootstrap ] || missing+=(debootstrap)
    [ ${#missing[@]} -eq 0 ] && return
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

make_root() {  # Debian's own packages, from where apt has Debian
    local mirror
    [ -e "$root/ready" ] && return
    rm -rf "$root"
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' | sed -n 1p)
    /usr/sbin/debootstrap --variant=minbase \
        --include=systemd-sysv,dbus,python3-venv,alsa-utils,mosquitto,mosquitto-clients \
        bookworm "$root" ${mirror:+"$mirror"} >"$cache/debootstrap.log" 2>&1 ||
        skip "no Debian to be had: $(tail -1 "$cache/debootstrap.log")"
    rm -f "$root"/var/cache/apt/archives/*.deb
    ln -sf /dev/null "$root/etc/systemd/system/mosquitto.service"  # the tests start one of their own
    touch "$root/ready"
}

inside() {  # inside COMMAND...: what nspawn says goes to a log, for it warns of nothing here at every end
    systemd-nspawn --quiet --register=no --keep-unit --pipe --directory "$root" "$@" 2>"$cache/nspawn.log"
}

make_python() {  # the wheels of Debian 12's Python 3.11, then this tree's
    local pip=(.venv/bin/python -m pip) ready=$root/opt/asd-edge/ready
    local install=(/opt/asd-edge/bin/pip install -qq --no-index --find-links /wheels)
    if [ ! -e "$ready" ] || [ pyproject.toml -nt "$ready" ]; then
        rm -rf "$root/wheels" "$root/opt/asd-edge"
        # shellcheck disable=SC2046  # one word a platform
        "${pip[@]}" download -qq --dest "$root/wheels" --constraint constraints.txt --only-binary=:all: \
            --python-version 3.11 $(printf -- '--platform=manylinux_2_%d_'"$(uname -m)"' ' {17..36}) \
            --platform=manylinux2014_"$(uname -m)" .
        "${pip[@]}" wheel -qq --no-deps --wheel-dir "$root/wheels" .
        inside python3 -m venv /opt/asd-edge
        inside "${install[@]}" asd-edge
        touch "$ready"
    fi
    rm -f "$root"/wheels/asd_edge-*
    "${pip[@]}" wheel -qq --no-deps --wheel-dir "$root/wheels" .
    inside "${install[@]}" --no-deps --force-reinstall asd-edge
}

[ "$(id -u)" -eq 0 ] || skip "it takes root"
[ "$(uname -s)" = Linux ] && command -v apt-get >/dev/null || skip "it takes a Debian or an Ubuntu"
mkdir -p "$cache"
install_tools
make_root
inside true || skip "systemd-nspawn cannot run here: $(tail -1 "$cache/nspawn.log")"
trap 'cat "$cache/nspawn.log" >&2' ERR
make_python
trap - ERR
ASD_EDGE_SYSTEMD_ROOT=$root .venv/bin/python -m pytest -q -p no:cacheprovider -rP tests/systemd/booted.py "$@"
