#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Accuracy of OpenVINO's int8 (NNCF, preset for transformers), bf16 and f32: what libvitrt's is held against.

    pip install torch pillow safetensors transformers openvino nncf
    bench/openvino_accuracy.py MODEL IMAGES --calibrate CALIBRATION/32/* CALIBRATION/300/*

MODEL is a folder as Hugging Face publishes it, IMAGES holds one folder per class, each folder after --calibrate holds
the images of one calibration (models/zoo/calibration_images.py). Images go through the model's own preprocessing, as
Pillow does it. The first line is f32; what it is against is f32 too.
"""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "models" / "zoo"))
import evaluate  # before all that needs torch
import nncf
import numpy as np
import openvino
import torch

import accuracy
import quantized


class Logits(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x).logits


def preprocessed(paths, processor):
    """One image at a time, [1, 3, height, width]."""
    for batch in evaluate.batches([(path, None) for path in paths], processor):
        yield from (x.numpy()[None] for x in batch)


def answers(model, hint, files, processor, threads):
    """As accuracy.read_answers gives them. hint: of the precision, or None for what OpenVINO prefers."""
    config = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": "1"}
    if hint:
        config["INFERENCE_PRECISION_HINT"] = hint
    compiled = openvino.compile_model(model, "CPU", config)
    paths = [path for path, _ in files]
    return {(path.parent.name, path.stem): int(np.argmax(compiled(x)[0]))
            for path, x in zip(paths, preprocessed(paths, processor))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("--calibrate", type=pathlib.Path, nargs="+", default=[], metavar="FOLDER")
    parser.add_argument("--rest", choices=("f32", "bf16"),
                        help="what int8 models compute the rest in, default OpenVINO's")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    nncf.set_log_level("ERROR")
    processor, files = evaluate.load_processor(arguments.model), evaluate.labelled_files(arguments.images)
    numbers = accuracy.class_numbers(arguments.images)
    example = torch.from_numpy(next(preprocessed([files[0][0]], processor)))
    model = openvino.convert_model(Logits(evaluate.load_model(arguments.model)), example_input=example,
                                   input=list(example.shape))

    def report(name, model, hint, first=None):
        mine = answers(model, hint, files, processor, arguments.threads)
        print(f"{name}: {accuracy.top1(mine, numbers)[1]}", flush=True)
        if first:
            print(f"  {accuracy.against(mine, first, numbers)}", flush=True)
        return mine

    first = report("f32", model, "f32")
    report("bf16", model, "bf16", first)
    for folder in arguments.calibrate:
        images = list(preprocessed(sorted(folder.iterdir()), processor))
        report(f"int8, {folder}", quantized.nncf_quantized(model, images), arguments.rest, first)


if __name__ == "__main__":
    main()
