#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint that was trained with DynamicViT (https://github.com/raoyongming/DynamicViT) or A-ViT
(https://github.com/NVlabs/A-ViT), as a folder that libvitrt opens.

    dynamic_checkpoint.py CHECKPOINT ARCHITECTURE FOLDER [BLOCK...]

CHECKPOINT: a pickle of the model's state, or of a dictionary with it under "model" or "state_dict". ARCHITECTURE: timm's
name, such as deit_small_patch16_224. BLOCK...: those that DynamicViT's predictors stand before; without, they are where
DeiT's published ones are. Writes config.json and model.safetensors, tensors as they are.

Needs torch and safetensors. The pickle is read without running code that it contains.
"""

import pathlib
import sys

from ivit_checkpoint import read_state, write


def config_of(architecture, tensors, blocks):
    """With the preprocessing of both repositories' datasets.py."""
    if "head.weight" not in tensors:
        sys.exit("head.weight is missing: this is no checkpoint of a classifier with timm's names")
    config = {
        "architecture": architecture,
        "num_classes": tensors["head.weight"].shape[0],
        "pretrained_cfg": {
            "input_size": [3, 224, 224],
            "interpolation": "bicubic",
            "crop_pct": 224 / 256,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
    }
    return config | ({"model_args": {"pruning_loc": blocks}} if blocks else {})


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    tensors = {name: tensor.contiguous().clone() for name, tensor in read_state(sys.argv[1]).items()}
    write(pathlib.Path(sys.argv[3]), config_of(sys.argv[2], tensors, [int(b) for b in sys.argv[4:]]), tensors)


if __name__ == "__main__":
    main()
