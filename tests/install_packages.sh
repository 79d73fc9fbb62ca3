#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that are missing for a purpose. The one place that knows their names.
#
#   tests/install_packages.sh build     what the library and its examples need
#   tests/install_packages.sh fast      and what the tests need
#   tests/install_packages.sh slow      and sanitizers, fuzzing, other processors
#   tests/install_packages.sh arm64 DIR puts the test framework for AArch64 into DIR, nothing into the system
set -euo pipefail

build=(cmake make gcc libc6-dev libstb-dev libjsmn-dev)
fast=("${build[@]}" g++ libcmocka-dev libopenblas-dev locales pkgconf python3)
slow=("${fast[@]}" clang libclang-rt-14-dev qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross)

# apt-get with an own state, so that a foreign architecture need not be added to this system.
fetch_arm64() {
    local work
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$1"
    local apt=(apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::Lists="$work/lists"
        -o Dir::State::status=/dev/null -o Dir::Cache="$work/cache" -o APT::Sandbox::User= -o Acquire::Languages=none)
    (cd "$work" && "${apt[@]}" update && "${apt[@]}" download libcmocka0 libcmocka-dev)
    local package
    for package in "$work"/*.deb; do
        dpkg-deb -x "$package" "$1"
    done
}

case ${1:-} in
    build) wanted=("${build[@]}") ;;
    fast) wanted=("${fast[@]}") ;;
    slow) wanted=("${slow[@]}") ;;
    arm64) [ -e "$2/usr/include/cmocka.h" ] || fetch_arm64 "$2"; exit ;;
    *) sed -n '3,8p' "$0"; exit 2 ;;
esac

if ! command -v apt-get >/dev/null; then
    echo "This is not a Debian system: please see to it that these are installed: ${wanted[*]}" >&2
    exit 0
fi

missing=()
for package in "${wanted[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "Please install as root: apt-get install ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
fi
echo "Installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{
    "${as_root[@]}" apt-get -o DPkg::Lock::Timeout=120 update -q &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -qy \
        --no-install-recommends "${missing[@]}"
} >"$log" 2>&1 </dev/null || { cat "$log" >&2; exit 1; }
