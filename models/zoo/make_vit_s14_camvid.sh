#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Trains and quantizes the bundled segmenter, as one file that holds everything.
#
#   models/zoo/make_vit_s14_camvid.sh BACKBONE CAMVID_TAR [BUILD_FOLDER]
#
# BACKBONE: the folder of the checkpoint that vit_s14_tin100 is made of. Python needs torch, Pillow and safetensors.
set -eu
zoo=$(dirname "$0")
backbone=$1 archive=$2 build=${3:-$zoo/../../build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar -xf "$archive" -C "$work"
python3 "$zoo/train/camvid.py" heads "$backbone" "$work/camvid" "$work/heads.pt"
python3 "$zoo/train/camvid.py" tune "$work/heads.pt" "$work/camvid" "$work/model.pt"
python3 "$zoo/train/camvid.py" test "$work/model.pt" "$work/camvid"
python3 "$zoo/train/camvid.py" export "$work/model.pt" "$work/float.safetensors"
mkdir "$work/few" # every eighth picture of the training split
find "$work/camvid/train" -name '*.jpg' | sort | awk 'NR % 8 == 1' | while read -r picture; do
    cp "$picture" "$work/few"
done
"$build/quantize" -m "$work/float.safetensors" -o "$zoo/vit_s14_camvid/model.safetensors" "$work/few"
