#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the bundled model of the BF16 checkpoint: quantized with training images, as one file that holds everything.
#
#   models/zoo/make_vit_s14_tin100.sh SOURCE_FOLDER TINYIMAGENET100 [BUILD_FOLDER]
#
# TINYIMAGENET100: the archive or its folder; calibration_images.py (Python, Pillow) draws 400 of its training images,
# three quarters of which quantize calibrates with.
set -eu
zoo=$(dirname "$0")
source=$1 archive=$2 build=${3:-$zoo/../../build}
images=$(mktemp -d)
trap 'rm -rf "$images"' EXIT
python3 "$zoo/calibration_images.py" "$archive" "$images" --count 400 --draw 0
"$build/quantize" -m "$source" -o "$zoo/vit_s14_tin100/model.safetensors" "$images/400/0"
