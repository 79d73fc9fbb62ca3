#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Programs outside the project use the library in every way it offers, and run: find_package, pkg-config and the plain
# archive with the static library, add_subdirectory and then the same with the shared one.
#
#   tests/test_consumers.sh BUILD_FOLDER      the folder of a static build
set -eu -o pipefail
build=$(realpath "$1")
cd "$(dirname "$0")/.."
cc=${CC:-cc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
program=examples/minimal.c
golden=tests/golden/cases/hf_vit

# run NAME PROGRAM: it must classify a picture.
run() {
    local answer
    answer=$("$2" $golden $golden/image_0.png) || { echo "$1: exit status $?: $answer"; exit 1; }
    [[ $answer == LABEL_* ]] || { echo "$1: answered '$answer'"; exit 1; }
    echo "$1: $answer"
}

# configure_and_build CONSUMER BUILD_FOLDER CMAKE_ARGUMENT...
configure_and_build() {
    local consumer=$1 folder=$2
    shift 2
    {
        cmake -S "tests/consumers/$consumer" -B "$folder" -DCMAKE_C_COMPILER="$cc" "$@" &&
        cmake --build "$folder" -j "$(nproc)"
    } >"$work/log" || { cat "$work/log"; exit 1; }
}

# with_package NAME PREFIX PKG_CONFIG_OPTION...: find_package and pkg-config with what is installed in PREFIX.
with_package() {
    local name=$1 prefix=$2 pc
    shift 2
    configure_and_build find_package "$work/$name" -DCMAKE_PREFIX_PATH="$prefix"
    run "find_package, $name" "$work/$name/consumer"
    pc=$(dirname "$(find "$prefix" -name vitrt.pc)")
    # shellcheck disable=SC2046
    "$cc" -o "$work/pc_$name" $program $(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs "$@" vitrt)
    run "pkg-config, $name" "$work/pc_$name"
}

cmake --install "$build" --prefix "$work/static" >/dev/null
with_package static "$work/static" --static
"$cc" -o "$work/archive" -I"$work/static/include" $program "$(find "$work/static" -name libvitrt.a)" -lm -pthread
run "archive" "$work/archive"

configure_and_build add_subdirectory "$work/sub" -DBUILD_SHARED_LIBS=ON -DCMAKE_BUILD_TYPE=Debug
run "add_subdirectory" "$work/sub/consumer"
cmake --install "$work/sub" --prefix "$work/shared" >/dev/null
library=$(find "$work/shared" -name libvitrt.so)
export LD_LIBRARY_PATH=${library%/*}
with_package shared "$work/shared"
tests/test_exports.sh "$library"
[ "$(find "$work/static" "$work/shared" -name LICENSE | wc -l)" = 2 ] || { echo "no licence installed"; exit 1; }
