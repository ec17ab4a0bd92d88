#!/usr/bin/env bash
# Install what tests talk to for real: an MQTT broker, arecord for the microphone path, openssl, ssh-keygen, systemd-analyze,
# node and npm for an independent Sparkplug host.
# Without root it only says what is missing; the tests that need it then skip, which CI does not allow.
set -euo pipefail
missing=()
[ -n "$(command -v mosquitto || ls /usr/sbin/mosquitto 2>/dev/null)" ] || missing+=(mosquitto)
command -v arecord >/dev/null || missing+=(alsa-utils)
command -v openssl >/dev/null || missing+=(openssl)
command -v ssh-keygen >/dev/null || missing+=(openssh-client)
command -v systemd-analyze >/dev/null || missing+=(systemd)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed: ${missing[*]} (tests that need them will skip); apt-get install ${missing[*]}" >&2
    exit 0
fi
apt-get update -qq
# A package that starts its service on installation would take port 1883.
DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
