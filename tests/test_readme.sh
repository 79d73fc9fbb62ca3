#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The C program in README.md is examples/minimal.c, and it runs.
#
#   tests/test_readme.sh MINIMAL
set -eu -o pipefail
minimal=$(realpath "$1")
cd "$(dirname "$0")/.."
diff <(sed -n '/^```c$/,/^```$/{/^```/d;p}' README.md) <(sed '1{/SPDX/d}' examples/minimal.c) ||
    { echo "README.md and examples/minimal.c differ"; exit 1; }
golden=tests/golden/cases/hf_vit
[[ $("$minimal" $golden $golden/image_0.png) == LABEL_* ]] || { echo "minimal does not classify"; exit 1; }
! "$minimal" $golden /nonexistent.png >/dev/null || { echo "minimal does not fail"; exit 1; }
