#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libvitrt beside other runtimes, in one run, taking turns.

    pip install torch onnxruntime openvino timm onnx        # those that are missing are left out
    python bench/compare.py --bench build/bench_model [--threads 1 2] [--runs 30] vit_small_patch16_224 ...

For every timm architecture it writes a checkpoint with random weights as timm publishes it and an ONNX file of the same model. Then
each round runs every contestant once, so that a change of the machine's speed meets all of them alike. Printed are the least and the median time
of an image, and the ratio to libvitrt of the medians of the per-round quotients.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a contestant that waits must not burn the others' cores


def export(name, folder):
    """A timm checkpoint and an ONNX file of one architecture with random weights."""
    import timm
    import timm.models
    import torch
    model = timm.create_model(name, pretrained=False).eval()
    size = model.pretrained_cfg["input_size"]
    folder.mkdir(parents=True)
    timm.models.save_for_hf(model, str(folder), safe_serialization=True)
    torch.onnx.export(model, torch.randn(1, *size), str(folder / "model.onnx"), dynamo=False, opset_version=17)
    return model, size


def vitrt(bench, folder, threads):
    process = subprocess.Popen([bench, "-t", str(threads), "--serve", str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    if process.stdout.readline().strip() != "ready":
        sys.exit(f"{bench} did not start")

    def run():
        process.stdin.write("\n")
        process.stdin.flush()
        return float(process.stdout.readline())
    return run


def timed(call):
    def run():
        start = time.perf_counter()
        call()
        return (time.perf_counter() - start) * 1e3
    return run


def onnxruntime(folder, threads, x):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")  # during its run,
    options.add_session_config_entry("session.force_spinning_stop", "1")  # not between runs
    session = ort.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return timed(lambda: session.run(None, {name: x}))


def openvino(folder, threads, x):
    import openvino as ov
    core = ov.Core()
    config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(str(folder / "model.onnx")), "CPU", config).create_infer_request()
    return timed(lambda: request.infer([x]))


def pytorch(model, threads, x):
    import torch
    torch.set_num_threads(threads)
    tensor = torch.from_numpy(x)

    def call():
        with torch.inference_mode():
            model(tensor)
    return timed(call)


def compare(name, bench, threads, rounds, folder):
    import numpy as np
    model, size = export(name, folder)
    x = np.random.default_rng(0).standard_normal((1, *size), dtype=np.float32)
    makers = {
        "libvitrt": lambda: vitrt(bench, folder, threads),
        "ONNX Runtime": lambda: onnxruntime(folder, threads, x),
        "OpenVINO": lambda: openvino(folder, threads, x),
        "PyTorch": lambda: pytorch(model, threads, x),
    }
    contestants = {}
    for label, make in makers.items():
        try:
            contestants[label] = make()
        except ImportError as missing:
            print(f"  ({label} left out: {missing})")
    times = {label: [] for label in contestants}
    for i in range(rounds + 2):
        for label, run in contestants.items():
            ms = run()
            if i >= 2:  # two rounds to warm up
                times[label].append(ms)
    print(f"{name}, {threads} thread{'s' if threads > 1 else ''}, batch 1, f32, {rounds} rounds")
    print(f"  {'':14s} {'min ms':>9s} {'median ms':>10s} {'libvitrt takes':>16s}")
    for label, ms in times.items():
        ratio = statistics.median(a / b for a, b in zip(times["libvitrt"], ms))
        print(f"  {label:14s} {min(ms):9.2f} {statistics.median(ms):10.2f} {ratio:15.2f}x", flush=True)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--bench", required=True, help="path of the built bench_model")
    ap.add_argument("--threads", type=int, nargs="+", default=[1])
    ap.add_argument("--runs", type=int, default=30, help="rounds")
    ap.add_argument("models", nargs="+", help="timm architectures")
    a = ap.parse_args()
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"))
    import torchvision_ops  # noqa: F401  (lets timm import with a CPU build of torch)
    for name in a.models:
        for threads in a.threads:
            with tempfile.TemporaryDirectory() as folder:
                compare(name, a.bench, threads, a.runs, pathlib.Path(folder) / name)


if __name__ == "__main__":
    main()
