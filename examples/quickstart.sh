#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing (Debian), builds the library and classify in build/, and classifies the bundled photos with
# the bundled model.
set -eu -o pipefail
cd "$(dirname "$0")/.."

tests/install_packages.sh build
echo "Building libvitrt"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{
    cmake -S . -B build -DVITRT_TESTS=OFF -DVITRT_BENCH=OFF -DVITRT_EXAMPLES=ON &&
    cmake --build build -j "$(nproc)" --target classify
} >"$log" 2>&1 || { cat "$log" >&2; exit 1; }

echo "build/classify examples/photos"
echo
build/classify "$@" examples/photos
echo
echo "Now yours: build/classify PHOTO...   (build/classify -h says what else it can do)"
