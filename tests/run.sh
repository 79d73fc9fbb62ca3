#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds with tests, runs everything. The last line is "N passed, N failed".
#
#   tests/run.sh           both parts
#   tests/run.sh fast      the library as it is built by default, on this CPU
#   tests/run.sh slow      other kernels, sanitizers, fuzzing, an old CPU, AArch64
#
# Builds go to build-tests/ and are kept. VITRT_FUZZ_SECONDS (default 60) is the time for each fuzz target.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
case ${1:-all} in fast | slow | all) part=${1:-all} ;; *) sed -n '3,9p' "$0"; exit 2 ;; esac

builds=$PWD/build-tests
jobs=$(nproc)
passed=0
failed=0
mkdir -p "$builds"
log=$builds/log
with=(env) # what the tests of a suite are started with

# check NAME COMMAND...: one test; its output is shown when it fails.
check() {
    local name=$1
    shift
    if "$@" >"$log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        echo "ok      $name"
    else
        failed=$((failed + 1))
        echo "FAILED  $name: $*"
        cat "$log"
        return 1
    fi
}

# build NAME CMAKE_ARGUMENT...: configures and builds everything in build-tests/NAME; a warning is an error.
build() {
    local name=$1
    shift
    check "$name: configure" cmake -S . -B "$builds/$name" -DVITRT_TESTS=ON -DCMAKE_COMPILE_WARNING_AS_ERROR=ON "$@" &&
        check "$name: build" cmake --build "$builds/$name" -j "$jobs"
}

# suite NAME BUILD CTEST_ARGUMENT...: runs tests of a build and counts each of them.
suite() {
    local name=$1 build=$2 result
    shift 2
    "${with[@]}" ctest --test-dir "$builds/$build" --output-on-failure --no-tests=error -j "$jobs" "$@" \
        >"$log" 2>&1 </dev/null
    # "90% tests passed, 1 tests failed out of 10", or, in some versions, "100% tests passed out of 10"
    result=$(sed -nE 's/^[0-9]+% tests passed(, ([0-9]+) tests? failed)? out of ([0-9]+).*/0\2 \3/p' "$log")
    if [ -z "$result" ]; then
        failed=$((failed + 1))
        echo "FAILED  $name: no tests ran"
        cat "$log"
        return
    fi
    local bad=$((10#${result% *})) all=${result#* }
    passed=$((passed + all - bad))
    failed=$((failed + bad))
    echo "$([ "$bad" = 0 ] && echo "ok     " || echo "FAILED ") $name: $((all - bad)) of $all"
    [ "$bad" = 0 ] || grep -v ' Passed ' "$log"
}

fast() {
    check "packages" tests/install_packages.sh fast || return
    build default || return
    suite "default" default -L fast
}

# Tests labelled "once" do not depend on how the library was compiled or on the CPU.
slow() {
    check "packages for the slow part" tests/install_packages.sh slow || return
    slow_kernels
    slow_cpus
    slow_sanitizers
    slow_fuzz
}

# The fast tests again, with each bundle of kernels that this CPU has; the checks go through all of them anyway.
slow_kernels() {
    build default || return
    local bundle flag
    for bundle in ref: avx2:avx2 avxvnni:avx_vnni avx512:avx512bw avx512vnni:avx512_vnni avx512bf16:avx512_bf16; do
        flag=${bundle#*:}
        [ -z "$flag" ] || grep -qw "$flag" /proc/cpuinfo || continue
        VITRT_CPU=${bundle%:*} suite "kernels: ${bundle%:*}" default -L fast -LE once -E ^check_
    done
    build blas -DVITRT_BLAS=ON -DVITRT_EXAMPLES=OFF -DVITRT_BENCH=OFF &&
        VITRT_CPU=ref OPENBLAS_NUM_THREADS=1 suite "kernels: OpenBLAS" blas -R test_golden
}

# emulated_x86 NAME CPU BUNDLE CTEST_ARGUMENT...: this bundle is chosen on that CPU, and tests pass on it. What OpenBLAS
# is told about the CPU of this machine does not hold for another.
emulated_x86() {
    local name=$1 cpu=$2 bundle=$3 with=(env -u OPENBLAS_CORETYPE)
    shift 3
    build emulated-x86 -DVITRT_EXAMPLES=OFF -DVITRT_BENCH=OFF "-DCMAKE_CROSSCOMPILING_EMULATOR=qemu-x86_64;-cpu;$cpu" &&
        check "$name: $bundle is chosen" env VITRT_TEST_BUNDLE="$bundle" \
            qemu-x86_64 -cpu "$cpu" "$builds/emulated-x86/check_elementwise" --only=test_detection &&
        suite "$name" emulated-x86 -L fast -LE once "$@"
}

# Left out is what takes long without FMA instructions and asks for nothing that depends on the CPU, and what the
# emulator (QEMU 7.2) is not able to run: it reads the lanes of a masked load that are not wanted, too, which the checks
# and the tests of attention and products place where nothing can be read.
slow_cpus() {
    local long="attention|graph_file|hierarchical|memory|precision|quantize$|quantized_steps|reduce|session|similarity"
    if [ "$(uname -m)" = x86_64 ]; then
        emulated_x86 "x86-64 without AVX (emulated)" Nehalem ref -E "test_($long)"
        emulated_x86 "x86-64 without AVX-512 (emulated)" Haswell avx2 -E "^check_|test_(attention|gemm)"
    fi
    # Header-only libraries are taken from this system, everything else from the cross compiler's.
    local headers=$builds/headers arm64=$builds/arm64
    check "packages for AArch64" tests/install_packages.sh arm64 "$arm64" || return
    mkdir -p "$headers" && cp /usr/include/jsmn.h /usr/include/stb/stb_image.h "$headers"
    build aarch64 -DVITRT_EXAMPLES=OFF -DVITRT_BENCH=OFF -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
        -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DVITRT_STB_DIR="$headers" -DVITRT_JSMN_DIR="$headers" \
        -Dcmocka_DIR="$arm64/usr/lib/aarch64-linux-gnu/cmake/cmocka" \
        "-DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64;-L;/usr/aarch64-linux-gnu" &&
        suite "AArch64 (emulated)" aarch64 -L fast -LE once &&
        VITRT_CPU=ref suite "AArch64 (emulated), kernels: ref" aarch64 -R test_golden
}

# -O1 and no NDEBUG: assertions count.
sanitized() {
    local name=$1 flags=$2
    build "$name" -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug \
        -DCMAKE_C_FLAGS_DEBUG="-O1 -g -fno-omit-frame-pointer $flags"
}

slow_sanitizers() {
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
    sanitized asan "-fsanitize=address,undefined -fno-sanitize-recover=all" &&
        suite "address and undefined-behaviour sanitizers" asan -L fast -LE once
    # This sanitizer does not expect as much address space randomisation as recent kernels do.
    ! setarch -R true 2>/dev/null || with=(setarch -R)
    sanitized tsan "-fsanitize=thread" && suite "thread sanitizer" tsan -L threads
    with=(env)
}

# fuzz NAME: the target fuzz_NAME with its dictionary and examples, if it has them. What it finds is kept in
# build-tests/corpus.
fuzz() {
    local name=$1 corpus=$builds/corpus/$1 options=()
    mkdir -p "$corpus"
    [ ! -e "tests/fuzz/$name.dict" ] || options+=("-dict=tests/fuzz/$name.dict")
    options+=("$corpus")
    [ ! -d "tests/fuzz/corpus_$name" ] || options+=("tests/fuzz/corpus_$name")
    "$builds/fuzz/fuzz_$name" -max_total_time="${VITRT_FUZZ_SECONDS:-60}" -timeout=20 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$builds/" "${options[@]}" >"$builds/fuzz_$name.log" 2>&1 </dev/null
}

# All targets at the same time; check then waits for each.
slow_fuzz() {
    sanitized fuzz "-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all \
        -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION" || return
    local source name pids=()
    for source in tests/fuzz/fuzz_*.c; do
        name=${source##*/fuzz_}
        fuzz "${name%.c}" &
        pids+=("${name%.c} $!")
    done
    for name in "${pids[@]}"; do
        wait "${name#* }"
        check "fuzz: ${name% *}" report $? "$builds/fuzz_${name% *}.log"
    done
}

# report STATUS LOG: shows the end of a log that was written before.
report() {
    tail -n 40 "$2"
    return "$1"
}

[ "$part" = slow ] || fast
[ "$part" = fast ] || slow
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
