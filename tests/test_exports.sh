#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a library exports. A static one: only vitrt_ and vt_ names, kernels of an instruction set only names that end
# with it (code that needs AVX2 must not replace a function of the same name elsewhere). A shared one: the functions of
# vitrt.h, and has a soname.
#
#   tests/test_exports.sh LIBRARY
set -eu -o pipefail
cd "$(dirname "$0")/.."
library=$1

# expect NAME TEXT: TEXT must be empty.
expect() {
    [ -z "$2" ] || { printf '%s: %s:\n%s\n' "$library" "$1" "$2"; exit 1; }
}

case $library in
    *.a)
        symbols=$(nm -A -g --defined-only "$library" 2>/dev/null | sed -E 's/^.*:([^:]+\.o):.* ([^ ]+)$/\1 \2/')
        [ "$(wc -l <<<"$symbols")" -gt 50 ] || { echo "$library: nm lists no symbols"; exit 1; }
        expect "foreign names" "$(awk '$2 !~ /^(vitrt|vt)_/' <<<"$symbols")"
        for isa in avx2 avxvnni avx512 avx512vnni avx512bf16 neon; do
            expect "names without the suffix of $isa" \
                "$(awk -v isa="_$isa" '$1 ~ isa "\\.c\\.o$" && $2 !~ isa "$"' <<<"$symbols")"
            expect "the suffix of $isa elsewhere" \
                "$(awk -v isa="_$isa" '$1 !~ isa "\\.c\\.o$" && $2 ~ isa "$"' <<<"$symbols")"
        done
        ;;
    *)
        declared=$(tr '\n' ' ' <include/vitrt.h | grep -oE 'VITRT_API [^;(]*\(' | grep -oE 'vitrt_[a-z0-9_]+\($' |
            tr -d '(' | sort)
        exported=$(nm -D --defined-only "$library" | awk '{ print $NF }' | sort)
        [ "$(wc -l <<<"$declared")" -gt 15 ] || { echo "vitrt.h: no declarations found"; exit 1; }
        expect "declared but not exported, or exported but not declared" \
            "$(comm -3 <(echo "$declared") <(echo "$exported"))"
        readelf -d "$library" | grep -q 'SONAME.*libvitrt\.so\.[0-9]' || { echo "$library: no soname"; exit 1; }
        ;;
esac
