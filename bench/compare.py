#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""libvitrt beside OpenVINO, ONNX Runtime and PyTorch, in one run, taking turns.

    pip install torch timm safetensors onnx onnxscript onnxruntime openvino nncf transformers matplotlib
    bench/compare.py --bench build/bench_model vit_tiny_patch16_224 vit_small_patch16_224 --threads 1 2

Runtimes and packages that are missing are left out; only torch and what the models come from are needed. Models are
timm's architectures, or cvt-13, cvt-21 and cvt-w24 of transformers, with random weights.

Every contestant is a process of its own that lives as long as the comparison and computes the same images, and its
logits are checked. Each round gives each of them one block of runs with an idle moment before it; the first two runs of
a block do not count. So a change of the machine's speed, threads that still spin and evicted caches meet all alike. A
ratio is the median over the rounds of the quotient of the two blocks' medians. Each runtime runs in the variant that is
fastest of those it is tried with. Files are kept in a folder for the next time.
"""
import argparse
import itertools
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time

import contestants
import report

OURS = "libvitrt"
SETTLING_RUNS = 2  # of a block, not counted
START_SECONDS = 180  # for a contestant to give its first answer; torch.compile takes most of it
TOLERANCE = {"f32": 1e-3, "bf16": 0.1, "i8": 0.5, "i8-strict": 0.5}  # of logits, relative to the largest
TOKEN_SWEEP = [(side, side) for side in (112, 160, 224, 288, 352, 416, 512)]
BATCH_SWEEP = (1, 2, 4, 8, 16)


class Failed(Exception):
    pass


class Contestant:
    """A process that runs a model when it is told to."""

    def __init__(self, runtime, variant, case, arguments, precision, threads):
        self.runtime, self.variant, self.case = runtime, variant, case
        self.output = case.folder / f"answer-{os.getpid()}.f32"
        self.errors = tempfile.TemporaryFile("w+")
        if runtime == OURS:
            size = [] if case.size is None else ["--size", case.size_text()]
            reduction = ["-r", arguments.reduction] if arguments.reduction else []
            command = [arguments.bench, "--serve", "-m", str(case.checkpoint), "-p", precision, "-t", str(threads),
                       "-b", str(case.batch), *size, *reduction, "--input", str(case.pixels),
                       "--output", str(self.output)]
        else:
            command = worker_command(case, arguments, runtime, variant, precision, str(threads), str(self.output))
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        text=True, bufsize=1)
        try:
            self.load_ms = float(self.read(START_SECONDS).split()[1])
        except (Failed, IndexError, ValueError):
            self.stop()
            self.errors.seek(0)
            lines = self.errors.read().strip().splitlines()
            raise Failed(lines[-1] if lines else f"no answer within {START_SECONDS} s") from None

    def read(self, seconds):
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise Failed("no answer")
        return self.process.stdout.readline()

    def run(self, n):
        """Milliseconds of n runs of the whole batch."""
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()
        times = [float(ms) for ms in self.read(600).split()]
        if len(times) != n:
            raise Failed(f"{self.runtime} ended during the comparison")
        return times

    def logits_error(self):
        """The largest difference to PyTorch's f32 logits, relative to the largest of them."""
        import numpy as np
        reference = np.load(self.case.reference).ravel()
        answer = np.fromfile(self.output, np.float32)
        self.output.unlink()
        if answer.size != reference.size:
            raise Failed(f"{self.runtime} gives {answer.size} numbers, expected {reference.size}")
        return float(np.abs(answer - reference).max() / np.abs(reference).max())

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.output.unlink(missing_ok=True)


def worker_command(case, arguments, *what):
    size = [] if case.size is None else ["--size", case.size_text()]
    return [sys.executable, os.path.abspath(__file__), case.name, "--worker", *what, "--batch", str(case.batch),
            "--cache", arguments.cache, *size]


# ---- One comparison ----

def block(contestant, arguments):
    time.sleep(arguments.gap)
    return contestant.run(SETTLING_RUNS + arguments.block)[SETTLING_RUNS:]


def start_variants(runtime, case, arguments, precision, threads):
    """All variants of a runtime that start and give the right answer."""
    started = []
    for variant in ("",) if runtime == OURS else contestants.variants(runtime, precision):
        if variant in case.files and not case.files[variant].exists():
            print(f"  ({runtime} {variant}: its file could not be made)", file=sys.stderr)
            continue
        try:
            contestant = Contestant(runtime, variant, case, arguments, precision, threads)
        except Failed as failed:
            print(f"  ({runtime} {variant}: {failed})", file=sys.stderr)
            continue
        contestant.error = contestant.logits_error()
        reduced = runtime == OURS and arguments.reduction  # other answers are what it costs
        if contestant.error > TOLERANCE[precision] and not reduced:
            print(f"  ({runtime} {variant}: logits off by {contestant.error:.2g} of the largest)", file=sys.stderr)
            contestant.stop()
            continue
        started.append(contestant)
    return started


def fastest(started, arguments):
    """Stops all but the fastest of two short rounds."""
    if len(started) > 1:
        times = {c: [] for c in started}
        for c in (*started, *started):
            time.sleep(arguments.gap)
            times[c] += c.run(SETTLING_RUNS + 6)[SETTLING_RUNS:]
        started = sorted(started, key=lambda c: statistics.median(times[c]))
        for c in started[1:]:
            c.stop()
    return started[0]


def take_turns(lineup, arguments):
    """Blocks of every contestant, in an order that moves on from round to round."""
    blocks = {c.runtime: [] for c in lineup}
    for i in range(arguments.rounds):
        for c in lineup[i % len(lineup):] + lineup[:i % len(lineup)]:
            blocks[c.runtime].append(block(c, arguments))
    return blocks


def load_ms(runtime, variant, first, case, arguments, precision, threads):
    """The least of three fresh processes; first is one of them."""
    times = [first]
    for _ in range(2):
        again = Contestant(runtime, variant, case, arguments, precision, threads)
        times.append(again.load_ms)
        again.stop()
    return min(times)


def summarise(lineup, blocks, batch):
    """Per image; ratios are libvitrt's time over the other's."""
    medians = {name: [statistics.median(b) for b in all_blocks] for name, all_blocks in blocks.items()}
    return {c.runtime: {"variant": c.variant,
                        "logits_error": c.error,
                        "ms_min": min(min(b) for b in blocks[c.runtime]) / batch,
                        "ms_median": statistics.median(itertools.chain(*blocks[c.runtime])) / batch,
                        "ratio": statistics.median(a / b for a, b in zip(medians[OURS], medians[c.runtime]))}
            for c in lineup}


def compare(case, arguments, precision, threads):
    """The results by runtime, or None without an answer of ours."""
    lineup, loads = [], {}
    try:
        for runtime in (OURS, *arguments.against):
            if runtime != OURS and not contestants.variants(runtime, precision):
                continue
            started = start_variants(runtime, case, arguments, precision, threads)
            if not started and runtime == OURS:
                return None
            if started:
                quick = min(started, key=lambda c: c.load_ms)
                loads[runtime] = quick.variant, quick.load_ms
                lineup.append(fastest(started, arguments))
        results = summarise(lineup, take_turns(lineup, arguments), case.batch)
    finally:
        for c in lineup:
            c.stop()
    for runtime, (variant, first) in loads.items() if arguments.load else ():
        results[runtime]["load_ms"] = load_ms(runtime, variant, first, case, arguments, precision, threads)
    return results


# ---- All of them ----

def cases(arguments):
    sizes = TOKEN_SWEEP if arguments.sweep == "tokens" else arguments.size
    batches = BATCH_SWEEP if arguments.sweep == "batch" else arguments.batch
    for name, size, batch in itertools.product(arguments.models, sizes, batches):
        yield contestants.Case(name, size, batch, arguments.cache)


def compare_all(arguments):
    rows = []
    print(report.heading((OURS, *arguments.against)), flush=True)
    for case in cases(arguments):
        command = worker_command(case, arguments, "prepare", *arguments.precision)
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{case.name} cannot be written: {done.stderr.strip().splitlines()[-1]}")
        for precision, threads in itertools.product(arguments.precision, arguments.threads):
            results = compare(case, arguments, precision, threads)
            if results:
                height, width = case.input().shape[2:]
                rows.append({"model": case.name, "height": height, "width": width, "precision": precision,
                             "threads": threads, "batch": case.batch, "results": results})
                print(report.line(rows[-1], (OURS, *arguments.against)), flush=True)
    return rows


def size(text):
    height, _, width = text.partition("x")
    return int(height), int(width or height)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("models", nargs="+", metavar="MODEL")
    add("--bench", default="build/bench_model", help="default build/bench_model")
    add("--threads", type=int, nargs="+", default=[1])
    add("--precision", nargs="+", default=["f32"], choices=TOLERANCE)
    add("--batch", type=int, nargs="+", default=[1])
    add("--size", type=size, nargs="+", default=[None], metavar="HxW",
        help="input sizes, or one number for both sides; default the model's own")
    add("--sweep", choices=("tokens", "batch"), help="all sizes or batches of a series")
    add("--rounds", type=int, default=10)
    add("--block", type=int, default=18, help="runs of a block that count, default 18")
    add("--gap", type=float, default=0.3, help="idle seconds before a block")
    add("--load", action="store_true", help="also the time from a started process to the first answer")
    add("--reduction", metavar="METHOD:SHARE", help="of libvitrt's tokens, for example evit:0.5; the others have all")
    add("--against", nargs="+", default=list(contestants.MODULES), choices=contestants.MODULES)
    add("--plot", metavar="FILE", help="time against model, or along the sweep, as SVG or PNG")
    add("--json", metavar="FILE", help="the figures")
    add("--cache", default=os.path.join(tempfile.gettempdir(), "vitrt-compare"), help="folder of the models' files")
    add("--worker", nargs="+", help=argparse.SUPPRESS)
    return parser.parse_args()


def work(arguments):
    case = contestants.Case(arguments.models[0], arguments.size[0], arguments.batch[0], arguments.cache)
    if arguments.worker[0] == "prepare":
        contestants.import_torchvision_fix()
        contestants.prepare(case, arguments.worker[1:])
    else:
        runtime, variant, precision, threads, output = arguments.worker
        contestants.work(case, runtime, variant, precision, int(threads), output)


def main():
    arguments = parse()
    if arguments.worker:
        work(arguments)
        return
    for runtime in [r for r in arguments.against if not contestants.installed(r)]:
        print(f"({runtime} is not installed)", file=sys.stderr)
        arguments.against.remove(runtime)
    rows = compare_all(arguments)
    print(report.notes(rows))
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
    if arguments.plot:
        report.plot(rows, arguments.sweep, arguments.plot)


if __name__ == "__main__":
    main()
