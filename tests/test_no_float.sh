#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Integer-only inference has no floating-point arithmetic, comparison or conversion: disassembles what it is made of in
# a static library, and looks at every instruction. Moves and bitwise operations on the same registers are no arithmetic.
# That the instructions are recognised is seen from kernels of floats.
#
#   tests/test_no_float.sh LIBRARY [OBJDUMP]
set -eu -o pipefail
library=$1
objdump=${2:-objdump}

# Objects, or functions of objects that have others too.
# Kernels; what of a session runs in integers, and calls kernels of floats by their table only.
integer='^(integer_[a-z0-9]+|gemm_u8s8_[a-z0-9]+|integer|ivit|attention|exec|gather|gemm|token_keys|
op_(attention|conv|integer_[a-z]+|integers|linear|norm|windows))\.c\.o |^ref\.c\.o vt_(gemm|pack_rows|pack_columns)_u8s8_|
^run\.c\.o run_steps|^op_tokens\.c\.o slice_images'
integer=${integer//$'\n'/}
prepares='^integer_prepare\.c\.o ' # when a model is prepared: doubles
floats='^(elt_(avx2|avx512|avx512bf16|neon)\.c\.o vt_(layer_norm|softmax|quantize)|ref\.c\.o vt_(layer_norm|softmax|quantize))'

# What starts with f is x87 on x86; on AArch64 it is arithmetic but for moves. The widths of x86 are the suffixes; what
# starts with p or vp is for integers.
types='(ps|pd|ss|sd|ph|sh)'
arithmetic="^v?(add|sub|mul|div|min|max|sqrt|rcp|rcp14|rsqrt|rsqrt14|round|rndscale|cmp[a-z_0-9]*|u?comi|addsub|hadd|hsub|dp|
range|reduce|scalef|getexp|getmant|fixupimm|fpclass|fn?m(add|sub|addsub|subadd)(132|213|231)?)$types[xyz]?\$|^v?cvt|^vdpbf16"
aarch64='^(scvtf|ucvtf|bfdot|bfmmla|bfml[a-z0-9]*|bfcvt[a-z0-9]*)$'
helpers='^(__(add|sub|mul|div|neg|fix|fixuns|float|floatun|extend|trunc|eq|ne|lt|gt|le|ge|unord|cmp)[a-z]*[sdtx][fc]
[0-9a-z]*|(sqrt|exp|exp2|log|log2|pow|floor|ceil|round|rint|nearbyint|fma|lrint|lround|ldexp|frexp)[fl]?)$'
arithmetic=${arithmetic//$'\n'/} helpers=${helpers//$'\n'/}

case $library in
    *.a) ;;
    *) echo "not a static library, nothing to look at"; exit 0 ;;
esac

# "object function mnemonic" of each instruction; for a call or jump to a name, one more line with that name.
instructions() {
    "$objdump" -dr --no-show-raw-insn "$library" 2>/dev/null | awk '
        /file format/ { object = $1; sub(/\)?:$/, "", object); sub(/^.*[\/(]/, "", object) } # LLVM: library(object)
        /^[0-9a-f]+ <.*>:$/ { name = $2; gsub(/[<>:]/, "", name) }
        /^ +[0-9a-f]+:[ \t]+[^ \t]/ && !/R_[A-Z0-9_]+/ {
            split($0, part, /:[ \t]+/); split(part[2], word, " ")
            i = 1
            while (word[i] ~ /^(rep[a-z]*|lock|data16|notrack|bnd|\{.*\})$/) i++
            print object, name, word[i]
        }
        /R_[A-Z0-9_]+/ { target = $NF; sub(/[-+]0x.*$/, "", target); print object, name, "->" target }'
}

# Instructions of the lines read that compute with floats.
computing() {
    awk -v x86="$arithmetic" -v arm="$aarch64" -v helpers="$helpers" '{
        word = $3
        if (word ~ /^->/) { if (substr(word, 3) ~ helpers) print; next }
        if (word ~ x86 || word ~ arm || (word ~ /^f/ && word != "fmov")) print
    }'
}

all=$(mktemp)
trap 'rm -f "$all"' EXIT
instructions >"$all"

looked_at=$(grep -cE "$integer" "$all" || true)
[ "$looked_at" -gt 1000 ] || { echo "$library: only $looked_at instructions of integer kernels found"; exit 1; }
found=$(grep -E "$integer" "$all" | grep -vE "$prepares" | computing | sort | uniq -c)
[ -z "$found" ] || { printf '%s: floating-point arithmetic:\n%s\n' "$library" "$found"; exit 1; }

# The check sees what it is there for: in each object of float kernels, and where numbers are prepared.
for object in $(grep -E "$floats" "$all" | cut -d' ' -f1 | sort -u) integer_prepare.c.o; do
    [ "$(grep "^$object " "$all" | computing | wc -l)" -gt 20 ] ||
        { echo "$object: no floating-point arithmetic found, which it has"; exit 1; }
done
echo "$looked_at instructions without floating-point arithmetic"
