#!/usr/bin/env bash
# Golden outputs and tests of the device runtime on emulated arm64: `make test-aarch64`. docs/jetson.md says what it
# proves. The arm64 systems are unpacked, never booted: qemu runs their Python and lets it see their files, so neither
# chroot nor a kernel setting (binfmt_misc) is needed. Root is, once, for debootstrap. Systems and wheels are kept in
# the folder ASD_EDGE_AARCH64.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=${ASD_EDGE_AARCH64:-${XDG_CACHE_HOME:-$HOME/.cache}/asd-edge/aarch64}
mkdir -p "$cache"
export OMP_NUM_THREADS=1 PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1

install_tools() {
    local missing=()
    command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
    [ -x /usr/sbin/debootstrap ] || missing+=(debootstrap)
    [ ${#missing[@]} -eq 0 ] && return
    [ "$(id -u)" -eq 0 ] || { echo "not installed: apt-get install ${missing[*]}" >&2; exit 1; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

make_root() {  # make_root SUITE: Debian's own packages, from where apt has Debian
    local root=$cache/$1 mirror
    [ -e "$root/ready" ] && return
    rm -rf "$root"
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Label: Debian' | sed -n 1p)
    /usr/sbin/debootstrap --foreign --arch=arm64 --variant=minbase \
        --include=python3-minimal,libpython3-stdlib,libgomp1,libstdc++6 \
        "$1" "$root" ${mirror:+"$mirror"} >"$cache/$1.log"
    for package in "$root"/var/cache/apt/archives/*.deb; do  # the second stage would need a kernel that starts arm64
        dpkg-deb --fsys-tarfile "$package" | tar -x --keep-directory-symlink -C "$root"
    done
    rm "$root"/var/cache/apt/archives/*.deb
    [ ! -L "$root/proc" ] || { rm "$root/proc"; mkdir "$root/proc"; }
    touch "$root/ready"
}

make_python() {  # make_python BOARD SUITE VERSION CPU: with wheels as the board would get them, and this tree's
    local root=$cache/$2 board=$cache/$1
    local pip=(.venv/bin/python -m pip install -qq --target "$board/site" --upgrade)
    mkdir -p "$board"
    if [ ! -e "$board/ready" ] || [ pyproject.toml -nt "$board/ready" ]; then
        rm -rf "$board/site"
        .venv/bin/python -m tests.packaging.aarch64_wheels "$1" >"$board/constraints.txt"
        # shellcheck disable=SC2046  # one word a platform
        "${pip[@]}" --constraint "$board/constraints.txt" --only-binary=:all: --python-version "$3" \
            $(printf -- '--platform=manylinux_2_%d_aarch64 ' {17..36}) --platform=manylinux2014_aarch64 '.[test]'
        touch "$board/ready"
    fi
    "${pip[@]}" --no-deps .
    # -0 is what Python takes for its own name: child processes of tests are started by this file too
    printf '#!/bin/sh\nPYTHONPATH=%q exec qemu-aarch64-static -cpu %s -L %q -0 "$0" %q "$@"\n' \
        "$board/site" "$4" "$root" "$root/usr/bin/python$3" >"$board/python"
    chmod +x "$board/python"
}

say_cpu() {  # say_cpu SUITE PART FEATURE...: without this onnxruntime reads the x86 host's, and 1.32 ends in a SIGSEGV
    for processor in 0 1; do
        printf 'processor\t: %d\nFeatures\t: fp asimd aes crc32 atomics fphp asimdhp asimdrdm asimddp %s\n' \
            "$processor" "${*:3}"
        printf 'CPU implementer\t: 0x41\nCPU architecture: 8\n'
        printf 'CPU variant\t: 0x0\nCPU part\t: %s\nCPU revision\t: 1\n\n' "$2"
    done >"$cache/$1/proc/cpuinfo"
}

run() {  # run BOARD TEST...
    echo "aarch64, versions of $1:"
    # emulated time says nothing; the figures that tests print are what docs/jetson.md quotes
    "$cache/$1/python" -m pytest --quiet -p no:cacheprovider -rP -m "not slow" -k "not test_time_" "${@:2}"
}

install_tools
# Debian has neither JetPack's 3.10 nor its 3.12. Its own take wheels of the same versions, built from the same sources.
make_root bookworm
say_cpu bookworm 0xd42
make_python JetPack-6 bookworm 3.11 cortex-a76  # Orin's Cortex-A78AE: the same instructions to choose kernels by
make_root trixie
say_cpu trixie 0xd83 sve sve2 i8mm bf16
make_python JetPack-7 trixie 3.13 max  # Thor's Neoverse V3AE: SVE2, products of int8 and bfloat16
# What a processor, an ABI or a kernel's choice of instructions can break, as far as it runs in seconds: embeddings,
# numbers against formulas and other libraries, files, signatures. Each of these takes 3 to 15 s, golden.py 2 minutes.
edge=(verify dsp_front_end dsp_band_power dsp_resample dsp_segments scoring scaled_sum decision embedding_pooling
    bundle_archive bundle_signature keys mqtt_payloads imports)
edge=("${edge[@]/#/tests/edge/test_}")
some=(tests/edge/test_verify.py tests/edge/test_dsp_front_end.py)
run JetPack-7 tests/aarch64/golden.py "${some[@]}" >"$cache/JetPack-7.log" 2>&1 &
failed=0
run JetPack-6 tests/aarch64/golden.py "${edge[@]/%/.py}" || failed=1
wait $! || failed=1
cat "$cache/JetPack-7.log"
exit $failed
